import { readFileSync } from 'node:fs';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type YAMLError,
  type YAMLMap,
  YAMLParseError,
} from 'yaml';
import { type ErrorCode, messageOf, PilotfishError } from './core/errors.ts';

function describeSyntax(error: YAMLError): string {
  const [at] = error.linePos ?? [];
  const [first = error.message] = error.message.split('\n');
  const whole = first.replace(/ at line \d+, column \d+:?$/, '');
  // What stands there may be a password.
  const message = error.code === 'UNEXPECTED_TOKEN' ? whole.replace(/: .*/s, '') : whole;
  return at === undefined ? message : `line ${at.line}, column ${at.col}: ${message}`;
}

/** What the library passes over, or says too late or too slowly. */
function furtherErrors(document: Document, lines: LineCounter): YAMLError[] {
  const errors: YAMLError[] = [];
  const anchors = new Set<string>();
  visit(document, {
    Node(_, node) {
      if (isMap(node)) errors.push(...keyErrors(node, lines));
      // The library would name it, and it may be a password that starts with a star.
      if (isAlias(node) && !anchors.has(node.source))
        errors.push(errorAt(node.range?.[0] ?? 0, 'BAD_ALIAS', 'An alias has no anchor before it', lines));
      if (!isAlias(node) && node.anchor !== undefined) anchors.add(node.anchor);
    },
  });
  return errors;
}

/**
 * The library’s own check compares each key with all others of its map: seconds where a pool has thousands of reals.
 * This one also takes `1` and `"1"` for the same key, since they are one in what is made of the file; and it refuses keys
 * such as `007`, which would be another name there than it is to whoever reads the file.
 */
function keyErrors({ items }: YAMLMap, lines: LineCounter): YAMLError[] {
  const errors: YAMLError[] = [];
  const seen = new Set<string>();
  for (const { key } of items) {
    if (!isScalar(key)) continue;
    const name = String(key.value);
    const at = key.range?.[0] ?? 0;
    if (typeof key.value !== 'string' && key.source !== name) {
      const message = `The key ${key.source} would become ${name}: write it in quotes`;
      errors.push(errorAt(at, 'NON_STRING_KEY', message, lines));
    }
    if (seen.has(name)) errors.push(errorAt(at, 'DUPLICATE_KEY', 'Map keys must be unique', lines));
    seen.add(name);
  }
  return errors;
}

function errorAt(offset: number, code: YAMLError['code'], message: string, lines: LineCounter): YAMLError {
  const error = new YAMLParseError([offset, offset], code, message);
  return Object.assign(error, { linePos: [lines.linePos(offset)] });
}

/**
 * Reads YAML, of which JSON is a part.
 * @param path for messages only
 * @throws PilotfishError with this code, listing every syntax error by line and column
 */
export function parseYaml(text: string, path: string, code: ErrorCode): unknown {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { prettyErrors: true, lineCounter, uniqueKeys: false });
  const errors = [...document.errors, ...furtherErrors(document, lineCounter)].sort((a, b) => a.pos[0] - b.pos[0]);
  if (errors.length > 0)
    throw new PilotfishError(code, [`${path} is not YAML:`, ...errors.map(describeSyntax)].join('\n  '), {
      fix: 'mend the syntax at these places',
    });
  try {
    const tree: unknown = document.toJS();
    // Throws when an alias stands inside of what it stands for.
    JSON.stringify(tree);
    return tree;
  } catch (cause) {
    // Aliases that would unfold to far more than they are, or without end.
    throw new PilotfishError(code, `${path} cannot be unfolded: ${messageOf(cause).split('\n', 1)[0]}`, {
      fix: 'use fewer aliases',
      cause,
    });
  }
}

/**
 * Reads a YAML or JSON file.
 * @throws PilotfishError with this code
 */
export function readYamlFile(path: string, code: ErrorCode): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new PilotfishError(code, `${path} cannot be read: ${messageOf(cause)}`, {
      fix: 'check the path and the rights of the file',
      cause,
    });
  }
  return parseYaml(text, path, code);
}

import { readFileSync } from 'node:fs';
import { parseDocument, type YAMLError } from 'yaml';
import { type ErrorCode, messageOf, PilotfishError } from './core/errors.ts';

function describeSyntax(error: YAMLError): string {
  const [at] = error.linePos ?? [];
  const [first = error.message] = error.message.split('\n');
  const message = first.replace(/ at line \d+, column \d+:?$/, '');
  return at === undefined ? message : `line ${at.line}, column ${at.col}: ${message}`;
}

/**
 * Reads YAML, of which JSON is a part.
 * @param path for messages only
 * @throws PilotfishError with this code, listing every syntax error by line and column
 */
export function parseYaml(text: string, path: string, code: ErrorCode): unknown {
  const document = parseDocument(text, { prettyErrors: true });
  if (document.errors.length > 0)
    throw new PilotfishError(code, [`${path} is not YAML:`, ...document.errors.map(describeSyntax)].join('\n  '), {
      fix: 'mend the syntax at these places',
    });
  try {
    return document.toJS();
  } catch (cause) {
    // Aliases that would unfold to far more than they are.
    throw new PilotfishError(code, `${path} cannot be unfolded: ${messageOf(cause)}`, {
      fix: 'use fewer aliases',
      cause,
    });
  }
}

/**
 * Reads a YAML or JSON file; `-` is the standard input.
 * @throws PilotfishError with this code
 */
export function readYamlFile(path: string, code: ErrorCode): unknown {
  let text: string;
  try {
    text = readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (cause) {
    throw new PilotfishError(code, `${path} cannot be read: ${messageOf(cause)}`, {
      fix: 'check the path and the rights of the file',
      cause,
    });
  }
  return parseYaml(text, path, code);
}

import { isRecord, readName } from './fields.ts';
import { nearest } from './hints.ts';
import { desiredPrefix, keys as keyNames } from './key-path.ts';
import { Mistake, type Problem, shownOfState } from './mistake.ts';
import { isConsulQuery } from './schema.ts';

/** The file form of the desired state as keys, so that one parser serves files and stores. */
export interface TreeKeys {
  readonly keys: ReadonlyMap<string, string>;
  /** What cannot be said in keys at all; `field` is the place in the file. */
  readonly problems: readonly Problem[];
  /** Those of `problems` that leave open what the file says about all others: its shape is not that of a state. */
  readonly unclear: readonly Problem[];
  /** The entries that the other problems are about, by keys that parseState refuses, so that nothing else waits for them. */
  readonly strays: ReadonlyMap<string, string>;
  /** Pools whose reals the file lists; it says nothing about the reals of others. */
  readonly listsRealsOf: ReadonlySet<string>;
  /** Whether the file has a section for overrides. */
  readonly listsOverrides: boolean;
}

const sections = ['settings', 'vips', 'pools', 'overrides'];
const laterSections = ['prefilter'];

class TreeReader implements TreeKeys {
  readonly keys = new Map<string, string>();
  readonly problems: Problem[] = [];
  readonly unclear: Problem[] = [];
  readonly strays = new Map<string, string>();
  readonly listsRealsOf = new Set<string>();
  listsOverrides = false;

  tree(tree: unknown): void {
    if (!isRecord(tree)) {
      this.#unclear('', tree, 'must be an object', `write the sections ${sections.join(', ')}`);
      return;
    }
    for (const [section, content] of Object.entries(tree)) this.#section(section, content);
  }

  #section(section: string, content: unknown): void {
    switch (section) {
      case 'settings':
        this.keys.set(keyNames.settings, JSON.stringify(content));
        break;
      case 'vips':
        this.#named([section], content, (name, vip) => this.keys.set(keyNames.vip(name), JSON.stringify(vip)));
        break;
      case 'pools':
        this.#named([section], content, (name, pool) => this.#pool(name, pool));
        break;
      case 'overrides':
        this.listsOverrides = true;
        this.#named([section], content, (pool, reals) =>
          this.#named([section, pool], reals, (id, override) =>
            this.keys.set(keyNames.override(pool, id), JSON.stringify(override)),
          ),
        );
        break;
      default:
        this.#strangeSection(section, content);
    }
  }

  #strangeSection(section: string, content: unknown): void {
    if (laterSections.includes(section)) {
      this.strays.set(desiredPrefix + section, JSON.stringify(content));
      this.#problem(section, content, 'is not supported by this version', 'remove it');
      return;
    }
    const near = nearest(section, sections);
    const fix = near === null ? `remove it; the sections are ${sections.join(', ')}` : `did you mean "${near}"?`;
    this.#unclear(section, content, 'is not a known section', fix);
  }

  /** Reals become keys of their own. Whatever cannot stays in the pool, whose parser says what is wrong with it. */
  #pool(name: string, pool: unknown): void {
    if (!isRecord(pool) || !Object.hasOwn(pool, 'reals')) {
      this.keys.set(keyNames.pool(name), JSON.stringify(pool));
      return;
    }
    this.listsRealsOf.add(name);
    const { reals, ...rest } = pool;
    const separable = reals === null || (isRecord(reals) && !isConsulQuery(reals));
    this.keys.set(keyNames.pool(name), JSON.stringify(separable ? rest : pool));
    if (separable)
      this.#named(['pools', name, 'reals'], reals, (id, real) =>
        this.keys.set(keyNames.real(name, id), JSON.stringify(real)),
      );
  }

  #named(path: readonly string[], content: unknown, each: (name: string, value: unknown) => void): void {
    const place = path.join('.');
    // YAML has null there. What wrote the file may have died at this point, and then it does not say that there are none.
    if (content === null) {
      this.#unclear(place, content, 'has nothing under it', `write ${path.at(-1)}: {} if there shall be none`);
      return;
    }
    if (!isRecord(content)) {
      this.#unclear(place, content, 'must be an object', 'write names, each with its fields');
      return;
    }
    for (const [name, value] of Object.entries(content)) {
      const checked = readName(name);
      if (checked instanceof Mistake) {
        // A slash would make it the key of something else.
        this.strays.set(desiredPrefix + [...path, name.replaceAll('/', '%2F')].join('/'), JSON.stringify(value));
        this.#problem(place, name, `has "${name}", which ${checked.message}`, checked.fix);
      } else each(name, value);
    }
  }

  #unclear(field: string, value: unknown, message: string, fix: string): void {
    this.unclear.push(this.#problem(field, value, message, fix));
  }

  #problem(field: string, value: unknown, message: string, fix: string): Problem {
    const problem = { field, value: shownOfState(value), message, fix };
    this.problems.push(problem);
    return problem;
  }
}

/** @param tree what a state file says, as YAML or JSON libraries give it */
export function keysFromTree(tree: unknown): TreeKeys {
  const reader = new TreeReader();
  reader.tree(tree);
  return reader;
}

/** The place in a state file that a rejection of one of its keys is about: `vips.web-443.port`. */
export function placeInFile(path: string): string {
  const [key = '', field] = path.slice(desiredPrefix.length).split(': ', 2);
  const place = key.replaceAll('/', '.');
  return field === undefined ? place : `${place}.${field}`;
}

import { readFileSync } from 'node:fs';

/** Of this build; package.json is one level up from src/ and from dist/. */
export const version: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

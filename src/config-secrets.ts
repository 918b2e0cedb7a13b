import { fieldPath, shown } from './core/mistake.ts';

/** What of `source` is no secret, wherever people put one by mistake. */
const open = /^source\.(file|etcd\.(endpoints\[\d+\]|prefix|username|tls\.(ca|cert)))$/;
const secretName = /pass|pwd|secret|token|credential|key/i;

function isSecret(path: readonly PropertyKey[]): boolean {
  const [section] = path;
  // The whole of the file, when it is a text, may be lines of another format.
  if (section === undefined) return true;
  if (section === 'source' || section === 'etcd') return !open.test(fieldPath(path));
  return path.some((step) => secretName.test(String(step)));
}

/**
 * A value of agent.yaml as a message shows it. Messages end up in journals, and where a password is misspelt or
 * misplaced no field tells that it is one.
 *
 * @param path of the field
 */
export function shownOfConfig(value: unknown, path: readonly PropertyKey[]): string {
  if (value === undefined || value === null) return shown(value);
  if (typeof value === 'object') return Array.isArray(value) ? 'a list' : 'an object';
  if (isSecret(path)) return 'what may be a secret';
  return shown(typeof value === 'string' ? value.replace(/^([a-z]+:\/\/)?[^@]*:.*@/is, '$1…@') : value);
}

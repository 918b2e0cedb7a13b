import { PilotfishError } from '../core/errors.ts';

/**
 * Removes a pin or a directory of pins.
 *
 * @param remove unlinkSync or rmdirSync
 * @returns false when there was nothing to remove, or a directory holds something else
 * @throws PilotfishError PF_PIN
 */
export function removeIfThere(remove: (path: string) => void, path: string): boolean {
  try {
    remove(path);
    return true;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTEMPTY') return false;
    throw new PilotfishError('PF_PIN', `${path} cannot be removed: ${message}`, { cause });
  }
}

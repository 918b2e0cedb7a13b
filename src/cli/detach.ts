import { readConfig } from '../config.ts';
import { detach } from '../dataplane/attachment.ts';
import { checkCapabilities } from '../dataplane/preflight.ts';

export interface DetachOptions {
  readonly config: string;
  readonly pinDir?: string;
}

/** Removes program, maps and pins: traffic for VIPs goes to the host’s own stack from here on. */
export async function runDetach(options: DetachOptions): Promise<number> {
  checkCapabilities();
  const pinDir = options.pinDir ?? readConfig(options.config).pinDir;
  const removed = detach(pinDir);
  if (removed.length === 0) console.log(`nothing to detach: there is no pin in ${pinDir}`);
  else for (const what of removed) console.log(`removed ${what}`);
  return 0;
}

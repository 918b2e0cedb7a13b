/** Downloads and uploads by the real curl. */
import type { LabClient } from '../../lab/client.ts';
import { urlOf } from './lab-state.ts';

export interface Transfer {
  /** Exit code of curl. */
  readonly code: number;
  readonly bytes: number;
  readonly real: string;
}

async function transfer(client: LabClient, args: readonly string[], size: string): Promise<Transfer> {
  const format = `%{${size}} %header{x-real} %{http_code}`;
  const { code, stdout } = await client.curl([
    '--max-time',
    '15',
    '--output',
    '/dev/null',
    '--write-out',
    format,
    ...args,
  ]);
  const [bytes, real = '', status = ''] = stdout.split(' ');
  return { code: code === 0 && !status.startsWith('20') ? -1 : code, bytes: Number(bytes), real };
}

/** @param bytes of the file that every real has; at most 20 MiB */
export function download(client: LabClient, vip: string, bytes: number, port = 80): Promise<Transfer> {
  return transfer(client, ['--range', `0-${bytes - 1}`, urlOf(vip, '/large', port)], 'size_download');
}

export function upload(client: LabClient, vip: string, file: string, port = 80): Promise<Transfer> {
  return transfer(client, ['--upload-file', file, urlOf(vip, '/upload', port)], 'size_upload');
}

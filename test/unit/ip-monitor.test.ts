import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, it, onTestFinished, vi } from 'vitest';
import { IpMonitor } from '../../src/dataplane/ip-monitor.ts';

it('has its host looked at once more, for what changed before `ip` listened', async () => {
  const bin = mkdtempSync(join(tmpdir(), 'pf-ip-'));
  writeFileSync(join(bin, 'ip'), '#!/bin/sh\nexec sleep 60\n');
  chmodSync(join(bin, 'ip'), 0o755);
  vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
  const onChange = vi.fn();
  const monitor = new IpMonitor(onChange, pino({ level: 'silent' }));
  onTestFinished(() => {
    monitor.close();
    vi.unstubAllEnvs();
    rmSync(bin, { recursive: true });
  });
  expect(onChange).not.toHaveBeenCalled();
  await vi.waitFor(() => expect(onChange).toHaveBeenCalledOnce(), 5_000);
});

import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { defaultLimits } from '../../src/core/admission.ts';
import type { Snapshot } from '../../src/core/model.ts';
import { SnapshotStore } from '../../src/sync/snapshot-store.ts';

const keys = (entries: Record<string, unknown>): Map<string, string> =>
  new Map(Object.entries(entries).map(([key, value]) => [`desired/${key}`, JSON.stringify(value)]));

const web = {
  'pools/web': {},
  'pools/web/reals/r1': { address: '10.0.0.1' },
  'vips/web': { address: '192.0.2.10', port: 80, protocol: 'tcp', pool: 'web' },
};

let number = 0;
const revision = () => ({ generation: 'a', number: ++number });

function store(onEmpty: 'keep' | 'clear') {
  const snapshots: Snapshot[] = [];
  const logged: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void logged.push(line) });
  return {
    store: new SnapshotStore({ onEmpty, limits: defaultLimits, log, onSnapshot: (s) => snapshots.push(s) }),
    snapshots,
    logged,
  };
}

describe('SnapshotStore', () => {
  it('takes an empty store for what it is at the start', () => {
    const { store: subject, snapshots } = store('keep');
    subject.keys(new Map(), revision());
    expect(snapshots).toHaveLength(1);
    expect(subject.keptEmpty).toBe(false);
  });

  it('keeps the last state when the store is wiped, says so, and goes on when keys are back', () => {
    const { store: subject, snapshots, logged } = store('keep');
    subject.keys(keys(web), revision());
    subject.keys(new Map(), revision());
    expect(subject.keptEmpty).toBe(true);
    expect(subject.snapshot?.vips.size).toBe(1);
    expect(snapshots).toHaveLength(1);
    expect(logged.join('')).toContain('onEmpty: clear');
    subject.keys(keys({ ...web, 'pools/web/reals/r2': { address: '10.0.0.2' } }), revision());
    expect(subject.keptEmpty).toBe(false);
    expect(snapshots[1]?.pools.get('web')?.reals).toHaveLength(2);
  });

  it('serves nothing when the store is emptied and that is what is wanted', () => {
    const { store: subject, snapshots } = store('clear');
    subject.keys(keys(web), revision());
    subject.keys(new Map(), revision());
    expect(snapshots[1]?.vips.size).toBe(0);
  });

  it('logs a rejection once, and when it is over', () => {
    const { store: subject, logged } = store('keep');
    const broken = keys({ ...web, 'vips/bad': { address: '192.0.2.11', port: 70_000, protocol: 'tcp', pool: 'web' } });
    subject.keys(broken, revision());
    subject.keys(broken, revision());
    expect(logged.filter((line) => line.includes('a key is rejected'))).toHaveLength(1);
    expect(logged.join('')).toContain('desired/vips/bad');
    subject.keys(keys(web), revision());
    expect(logged.filter((line) => line.includes('no longer rejected'))).toHaveLength(1);
  });

  it('gives the last good value of a broken key with the next snapshot', () => {
    const { store: subject, snapshots } = store('keep');
    subject.keys(keys(web), revision());
    subject.keys(keys({ ...web, 'vips/web': { address: 'nowhere' } }), revision());
    expect(snapshots[1]?.vips.get('web')?.address).toBe('192.0.2.10');
    expect(snapshots[1]?.rejected[0]).toMatchObject({ keptLastGood: true });
  });
});

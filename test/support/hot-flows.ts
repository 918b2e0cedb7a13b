import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import type { Pool, Real, Snapshot, Vip } from '../../src/core/model.ts';
import type { HostImage } from '../../src/core/target.ts';
import { buildTarget } from '../../src/core/target.ts';
import { allUp } from '../../src/core/verdicts.ts';
import { indexKey } from '../../src/dataplane/codec.ts';
import { kernelClock } from '../../src/dataplane/kernel-clock.ts';
import { enums, structs } from '../../src/dataplane/layout.gen.ts';
import type { ProgramSizes } from '../../src/dataplane/program.ts';
import { tcp, tcpFlags, udp } from './frames.ts';
import { host } from './in-force.ts';
import { pool, snapshot } from './model.ts';
import { framed, packet } from './packets.ts';
import { ProgramBench, type Sent } from './program-bench.ts';

/** Hot flows send packets to where all the steps would have: what tells them apart is looked at here. */

export const VIP = { 4: '192.0.2.10', 6: '2001:db8:ffff::10' } as const;
export const REAL = { 4: '10.0.0.1', 6: '2001:db8:77::1' } as const;
export const OTHER = { 4: '10.0.0.2', 6: '2001:db8:77::2' } as const;
/** Of a real, in QUIC packets. */
export const ID = 0xabcdef;

/** Last byte of the source MAC address of what is sent. */
export const MARKED_BYTE = 11;
export const MARK = 0x99;

/** Packets of a flow until it is hot: one that the flow cache does not know, and one to learn by. */
export const UNTIL_HOT = 2;

export async function benchOf(state: Snapshot, sizes: Partial<ProgramSizes> = {}): Promise<ProgramBench> {
  const bench = await ProgramBench.load({ vips: 64, pools: 8, ...sizes });
  await inForce(bench, state);
  return bench;
}

/** Brings the maps to another state. */
export function inForce(bench: ProgramBench, state: Snapshot, changed: Partial<HostImage> = {}): Promise<void> {
  return bench.converge(buildTarget(state, { ...host, ...changed }, allUp(state), new Map()));
}

/** What a test does within a second is within one tick: flows get cold with it. */
export async function roomInTick({ loaded }: ProgramBench): Promise<void> {
  const { rate, jiffies } = await kernelClock();
  const left = loaded.tickMs - (((jiffies() * 1_000) / rate) % loaded.tickMs);
  if (left < 1_000) await sleep(left + 20);
}

const MIX = [
  0x9e3779b97f4a7c15n,
  0xc2b2ae3d27d4eb4fn,
  0x165667b19e3779f9n,
  0xd6e8feb86659fd93n,
  0xff51afd7ed558ccdn,
] as const;
const wrapped = (value: bigint): bigint => BigInt.asUintN(64, value);

/** As bpf/hot.h has it. */
function hotHash(frame: Uint8Array): bigint {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const isV4 = view.getUint8(14) >> 4 === 4;
  const word = (at: number) => view.getBigUint64(at, true);
  const ports = BigInt(view.getUint32(isV4 ? 34 : 54, true));
  const protocol = BigInt(view.getUint8(isV4 ? 23 : 20));
  const rest = ports | (protocol << 32n) | ((isV4 ? 4n : 6n) << 40n);
  const [first, second, third, fourth] = isV4 ? [word(26), 0n, 0n, 0n] : [word(22), word(38), word(30), word(46)];
  return [first, second, third, fourth, rest].reduce((hash, word, i) => hash ^ wrapped(word * (MIX[i] ?? 0n)), 0n);
}

/** Where a flow would be hot, and what tells it from others there. */
export function hotPlace(frame: Uint8Array): { readonly place: number; readonly tag: number } {
  const hash = hotHash(frame);
  return { place: Number(hash >> 52n) & (enums.pf_hot_places.PF_HOT_PLACES - 1), tag: Number((hash >> 36n) & 0xffffn) };
}

/** The IPv6 frame `like`, from another client, so that its hash is that of `frame`. */
export function ofSameHash(frame: Uint8Array, like: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(like);
  const view = new DataView(changed.buffer);
  // The inverse of an odd number modulo 2^64, by Newton's iteration.
  let inverse: bigint = MIX[2];
  for (let i = 0; i < 6; i++) inverse = wrapped(inverse * (2n - MIX[2] * inverse));
  const missing = hotHash(frame) ^ hotHash(changed);
  view.setBigUint64(30, wrapped((wrapped(view.getBigUint64(30, true) * MIX[2]) ^ missing) * inverse), true);
  return changed;
}

/** Writes into the header that is ready, past the store: it would count a change, and no flow were hot any more. */
export function setMark(bench: ProgramBench, frame: Uint8Array, mark: number): void {
  const map = bench.loaded.object.map('hot_flows');
  const { header } = structs.pf_hot_flow.fields;
  const key = indexKey(bench.cpu * enums.pf_hot_places.PF_HOT_PLACES + hotPlace(frame).place);
  const value = map.get(key);
  if (value !== null) {
    value[header.offset + MARKED_BYTE] = mark;
    map.put(key, value);
  }
  map.close();
}

/** Sends the frame and tells whether it was treated as one of a hot flow. */
export function sendMarked(bench: ProgramBench, frame: Uint8Array): Sent & { readonly hot: boolean } {
  setMark(bench, frame, MARK);
  const sent = bench.send(frame);
  setMark(bench, frame, 0x02);
  return { ...sent, hot: sent.reason === 'forwarded' && sent.frame[MARKED_BYTE] === MARK };
}

export function isHot(bench: ProgramBench, frame: Uint8Array): boolean {
  return sendMarked(bench, frame).hot;
}

/** Sends packets of a flow until it must be hot. */
export function heat(bench: ProgramBench, frame: Uint8Array): void {
  for (let i = 0; i < UNTIL_HOT; i++) bench.send(frame);
}

/** A QUIC packet with a short header and katran’s connection id, version 2. */
export const quicPayload = (length: number): Uint8Array =>
  Uint8Array.of(0x40, 0x80, ID >> 16, (ID >> 8) & 0xff, ID & 0xff, 1, 2, 3, 4, ...new Uint8Array(length));

export const web = (reals: readonly (string | Real)[] = [REAL[4]], fields: Partial<Pool> = {}) =>
  pool('web', reals, fields);
export const flow = (from: number, flags: number = tcpFlags.ack, payload = new Uint8Array(10)) =>
  framed(packet(VIP[4], tcp({ from, to: 80, flags, payload })));
export const datagram = (from: number, payload: Uint8Array = new Uint8Array(20)) =>
  framed(packet(VIP[4], udp({ from, to: 80, payload })));

/** For one test, with a second or more of its tick left. */
export async function ownBench(pools: readonly Pool[], vips: readonly Vip[]): Promise<ProgramBench> {
  const bench = await benchOf(snapshot(pools, vips));
  onTestFinished(() => bench[Symbol.dispose]());
  await roomInTick(bench);
  return bench;
}

/** Heats the flow up and hands back where it goes once more. */
export function hotReal(bench: ProgramBench, frame: Uint8Array): string {
  heat(bench, frame);
  expect(isHot(bench, frame)).toBe(true);
  return bench.realOf(frame);
}

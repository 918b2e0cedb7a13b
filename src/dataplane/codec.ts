import { structs } from './layout.gen.ts';

/**
 * Structs of bpf/layout.h as bytes, driven by the generated layout. `__be` fields are big-endian; all others have the
 * byte order of the host, which is little-endian on every architecture that the agent runs on.
 */

type Structs = typeof structs;
export type StructName = keyof Structs;

interface FieldLayout {
  readonly offset: number;
  readonly type: 'u8' | 'u16' | 'u32' | 'u64' | 'be16' | 'be32';
  readonly count: number;
}

type Scalar<F> = F extends { type: 'u64' } ? bigint : number;
type Value<F> = F extends { count: 1 } ? Scalar<F> : readonly Scalar<F>[];

/** What a struct reads as: numbers, `bigint` for 64 bits, arrays where C has arrays. */
export type StructValue<N extends StructName> = {
  readonly [K in keyof Structs[N]['fields']]: Value<Structs[N]['fields'][K]>;
};

const widths = { u8: 1, u16: 2, u32: 4, u64: 8, be16: 2, be32: 4 } as const;

function writeScalar(view: DataView, at: number, type: FieldLayout['type'], value: number | bigint): void {
  switch (type) {
    case 'u64':
      view.setBigUint64(at, BigInt(value), true);
      break;
    case 'u32':
    case 'be32':
      view.setUint32(at, Number(value), type === 'u32');
      break;
    case 'u16':
    case 'be16':
      view.setUint16(at, Number(value), type === 'u16');
      break;
    case 'u8':
      view.setUint8(at, Number(value));
      break;
  }
}

function readScalar(view: DataView, at: number, type: FieldLayout['type']): number | bigint {
  switch (type) {
    case 'u64':
      return view.getBigUint64(at, true);
    case 'u32':
    case 'be32':
      return view.getUint32(at, type === 'u32');
    case 'u16':
    case 'be16':
      return view.getUint16(at, type === 'u16');
    case 'u8':
      return view.getUint8(at);
  }
}

/** Once and not for each value: tables are encoded by the ten thousand. */
const fieldLists = new Map<StructName, [string, FieldLayout][]>(
  (Object.keys(structs) as StructName[]).map((name) => [name, Object.entries(structs[name].fields)]),
);

function fieldsOf(name: StructName): [string, FieldLayout][] {
  return fieldLists.get(name) ?? [];
}

export function encode<N extends StructName>(name: N, value: StructValue<N>): Uint8Array {
  const bytes = new Uint8Array(structs[name].size);
  const view = new DataView(bytes.buffer);
  const fields = value as Readonly<Record<string, number | bigint | readonly (number | bigint)[]>>;
  for (const [field, { offset, type, count }] of fieldsOf(name)) {
    const content = fields[field];
    const items = Array.isArray(content) ? content : [content];
    for (let i = 0; i < count; i++) writeScalar(view, offset + i * widths[type], type, items[i] ?? 0);
  }
  return bytes;
}

/** @param bytes exactly the struct’s size */
export function decode<N extends StructName>(name: N, bytes: Uint8Array): StructValue<N> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value: Record<string, unknown> = {};
  for (const [field, { offset, type, count }] of fieldsOf(name)) {
    const items = Array.from({ length: count }, (_, i) => readScalar(view, offset + i * widths[type], type));
    value[field] = count === 1 ? items[0] : items;
  }
  return value as StructValue<N>;
}

/** Key of an array map: the index, in host order. */
export function indexKey(index: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(index).buffer);
}

export function indexOf(key: Uint8Array): number {
  return new DataView(key.buffer, key.byteOffset, 4).getUint32(0, true);
}

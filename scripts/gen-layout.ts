/**
 * Writes src/dataplane/layout.gen.ts from the BTF of the compiled program. The result is committed; CI builds anew and
 * fails when it differs.
 *
 *   node scripts/gen-layout.ts build/pilotfish.bpf.o bpf/layout.h src/dataplane/layout.gen.ts
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

interface BtfType {
  id: number;
  kind: string;
  name: string;
  type_id?: number;
  size?: number;
  nr_elems?: number;
  members?: { name: string; type_id: number; bits_offset: number }[];
  values?: { name: string; val: number }[];
  vars?: { type_id: number; offset: number; size: number }[];
}

interface Field {
  offset: number;
  type: string;
  count: number;
}

interface Struct {
  size: number;
  fields: Record<string, Field>;
}

/** Byte order survives in BTF as the name of the typedef. */
const scalars: Record<string, { name: string; size: number }> = {
  __u8: { name: 'u8', size: 1 },
  __u16: { name: 'u16', size: 2 },
  __u32: { name: 'u32', size: 4 },
  __u64: { name: 'u64', size: 8 },
  __be16: { name: 'be16', size: 2 },
  __be32: { name: 'be32', size: 4 },
};

const [object, header, target] = process.argv.slice(2);
if (object === undefined || header === undefined || target === undefined) {
  console.error('usage: gen-layout.ts <object> <header> <target>');
  process.exit(2);
}

const dump = execFileSync('bpftool', ['-j', 'btf', 'dump', 'file', object], { encoding: 'utf8', maxBuffer: 1 << 26 });
const types = new Map<number, BtfType>((JSON.parse(dump) as { types: BtfType[] }).types.map((type) => [type.id, type]));

function typeOf(id: number | undefined): BtfType {
  const type = types.get(id ?? -1);
  if (type === undefined) throw new Error(`BTF type ${id} is missing in ${object}`);
  return type;
}

function stripQualifiers(type: BtfType): BtfType {
  return type.kind === 'CONST' || type.kind === 'VOLATILE' ? stripQualifiers(typeOf(type.type_id)) : type;
}

function field(name: string, typeId: number, offset: number): Field {
  const type = stripQualifiers(typeOf(typeId));
  const element = type.kind === 'ARRAY' ? typeOf(type.type_id) : type;
  const scalar = scalars[element.name];
  if (scalar === undefined)
    throw new Error(
      `field ${name} has type ${element.kind} ${element.name}; only fixed-width __u and __be types are shared`,
    );
  return { offset, type: scalar.name, count: type.kind === 'ARRAY' ? (type.nr_elems ?? 0) : 1 };
}

function bytes(f: Field): number {
  return f.count * (Object.values(scalars).find((scalar) => scalar.name === f.type)?.size ?? 0);
}

/** A struct in a struct is laid out flat: its fields stand beside the others. */
function struct(type: BtfType): Struct {
  const fields: Record<string, Field> = {};
  const add = (name: string, f: Field): void => {
    if (name in fields) throw new Error(`${type.name} has two fields ${name}`);
    fields[name] = f;
  };
  let end = 0;
  for (const member of type.members ?? []) {
    const offset = member.bits_offset / 8;
    if (offset !== end) throw new Error(`${type.name} has a hole of ${offset - end} bytes before ${member.name}`);
    const inner = stripQualifiers(typeOf(member.type_id));
    if (inner.kind === 'STRUCT') {
      const { size, fields: innerFields } = struct(inner);
      for (const [name, f] of Object.entries(innerFields)) add(name, { ...f, offset: offset + f.offset });
      end = offset + size;
    } else {
      const f = field(`${type.name}.${member.name}`, member.type_id, offset);
      add(member.name, f);
      end = offset + bytes(f);
    }
  }
  if (end !== type.size) throw new Error(`${type.name} has ${(type.size ?? 0) - end} bytes of padding at its end`);
  return { size: end, fields };
}

/** libbpf writes `__uint(name, n)` as a pointer to an array of n ints. */
function uint(members: NonNullable<BtfType['members']>, name: string): number | undefined {
  const member = members.find((m) => m.name === name);
  return member === undefined ? undefined : typeOf(typeOf(member.type_id).type_id).nr_elems;
}

function pointee(members: NonNullable<BtfType['members']>, name: string): { name: string; size: number } | undefined {
  const member = members.find((m) => m.name === name);
  if (member === undefined) return undefined;
  const type = typeOf(typeOf(member.type_id).type_id);
  const scalar = scalars[type.name];
  return scalar ?? { name: type.name, size: type.size ?? 0 };
}

const section = (name: string): BtfType | undefined =>
  [...types.values()].find((type) => type.kind === 'DATASEC' && type.name === name);

const enums: Record<string, Record<string, number>> = {};
const structs: Record<string, Struct> = {};
for (const type of types.values()) {
  if (!type.name.startsWith('pf_')) continue;
  if (type.kind === 'ENUM')
    enums[type.name] = Object.fromEntries((type.values ?? []).map((value) => [value.name, value.val]));
  if (type.kind === 'STRUCT' && !type.name.endsWith('_map')) structs[type.name] = struct(type);
}

const maps: Record<string, unknown> = {};
for (const { type_id } of section('.maps')?.vars ?? []) {
  const variable = typeOf(type_id);
  const members = typeOf(variable.type_id).members ?? [];
  const key = pointee(members, 'key');
  const value = pointee(members, 'value');
  maps[variable.name] = {
    type: uint(members, 'type'),
    key: key?.name ?? null,
    keySize: key?.size ?? uint(members, 'key_size'),
    value: value?.name ?? null,
    // The value of a map of maps is the descriptor of an inner one.
    valueSize: value?.size ?? uint(members, 'value_size') ?? 4,
  };
}

/** Variables that stand for arrays: each is alone in a section that is named after it. */
const variables: Record<string, unknown> = {};
for (const { name: sectionName, vars = [] } of [...types.values()].filter((type) => type.kind === 'DATASEC')) {
  const [, name] = /^\.data\.(\w+)$/.exec(sectionName) ?? [];
  if (name === undefined) continue;
  const [only, second] = vars.map(({ type_id }) => typeOf(type_id));
  if (only === undefined || second !== undefined || only.name !== name)
    throw new Error(`section ${sectionName} should hold the variable ${name} and nothing else`);
  const type = stripQualifiers(typeOf(only.type_id));
  const element = type.kind === 'ARRAY' ? stripQualifiers(typeOf(type.type_id)) : type;
  variables[name] = {
    section: sectionName,
    value: element.name,
    valueSize: element.size,
    entries: type.kind === 'ARRAY' ? type.nr_elems : 1,
  };
}

// All constants are one struct, so that its layout is theirs.
const constants = (section('.rodata')?.vars ?? []).map(({ type_id }) => typeOf(type_id).name);
if (constants.join() !== 'constants') throw new Error(`.rodata holds ${constants}, not constants alone`);

// The Makefile gives the program the same bytes.
const fingerprint = createHash('sha256').update(readFileSync(header)).digest('hex').slice(0, 16);

const text = `// Generated by scripts/gen-layout.ts from the BTF of bpf/pilotfish.bpf.c: do not edit, run \`npm run build\`.
export const enums = ${JSON.stringify(enums, null, 2)} as const;

export const structs = ${JSON.stringify(structs, null, 2)} as const;

export const maps = ${JSON.stringify(maps, null, 2)} as const;

export const variables = ${JSON.stringify(variables, null, 2)} as const;

/** Of bpf/layout.h: first 8 bytes of its SHA-256, in hex. */
export const fingerprint = '${fingerprint}';
`;

writeFileSync(target, text);

/** Capture files as they stand on disk, in all their forms. Shares no code with src/. */

export interface PcapForm {
  readonly littleEndian?: boolean;
  readonly nanoseconds?: boolean;
  readonly linkType?: number;
  readonly magic?: number;
}

export interface PcapRecord {
  readonly data: Uint8Array;
  readonly seconds?: number;
  readonly fraction?: number;
  /** What the record says about the length of the frame on the wire, in place of its own. */
  readonly wireLength?: number;
}

function words(littleEndian: boolean, ...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => {
    if (littleEndian) bytes.writeUInt32LE(value, i * 4);
    else bytes.writeUInt32BE(value, i * 4);
  });
  return bytes;
}

/** A file of these frames; without a record of their times they are seconds 1,000 and up. */
export function pcapFile(records: readonly (PcapRecord | Uint8Array)[], form: PcapForm = {}): Buffer {
  const { littleEndian = true, nanoseconds = false, linkType = 1 } = form;
  const magic = form.magic ?? (nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
  const version = littleEndian ? 0x0004_0002 : 0x0002_0004;
  const parts = [words(littleEndian, magic, version, 0, 0, 262_144, linkType)];
  for (const [i, given] of records.entries()) {
    const record: PcapRecord = given instanceof Uint8Array ? { data: given } : given;
    const { data, seconds = 1_000 + i, fraction = i, wireLength = data.length } = record;
    parts.push(words(littleEndian, seconds, fraction, data.length, wireLength), Buffer.from(data));
  }
  return Buffer.concat(parts);
}

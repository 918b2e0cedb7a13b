import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pcapHeader, pcapRecord, readPcap } from '../../src/dataplane/pcap.ts';
import { pcapFile } from '../support/pcap.ts';
import { thrownBy } from '../support/thrown-by.ts';

const frame = Buffer.from(Array.from({ length: 60 }, (_, i) => i));

describe('a classic capture', () => {
  const record = fc.record({
    data: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    seconds: fc.nat(0xffffffff),
    fraction: fc.nat(999_999_999),
  });

  it('is read in every byte order and unit, frame by frame with its time', () => {
    fc.assert(
      fc.property(fc.array(record), fc.boolean(), fc.boolean(), (records, littleEndian, nanoseconds) => {
        const capture = readPcap(pcapFile(records, { littleEndian, nanoseconds }), 'x.pcap');
        expect(capture).toEqual({ nanoseconds, frames: records, brokenOff: null });
      }),
    );
  });

  it('is read where it begins in the middle of a buffer', () => {
    const file = pcapFile([frame]);
    const bytes = Buffer.concat([Buffer.alloc(3), file]).subarray(3);
    expect(readPcap(bytes, 'x.pcap').frames[0]?.data).toEqual(frame);
  });

  it('may tell about frame checksums beside the link type', () => {
    expect(readPcap(pcapFile([frame], { linkType: 0x2400_0001 }), 'x.pcap').frames.length).toBe(1);
  });

  it('has the frames before the place where it breaks off', () => {
    const whole = pcapFile([frame, frame, frame]);
    for (let length = 24; length < whole.length; length++) {
      const { frames, brokenOff } = readPcap(whole.subarray(0, length), 'x.pcap');
      const rest = (length - 24) % 76;
      expect(frames.length).toBe(Math.floor((length - 24) / 76));
      expect(brokenOff === null).toBe(rest === 0);
      if (rest > 0) expect(brokenOff).toContain(`record ${frames.length + 1} has ${rest < 16 ? rest : rest - 16} `);
    }
  });

  it('breaks off at a record that says it is larger than any frame', () => {
    const file = pcapFile([frame, frame]);
    file.writeUInt32LE(0x7fffffff, 24 + 76 + 8);
    const { frames, brokenOff } = readPcap(file, 'x.pcap');
    expect([frames.length, brokenOff]).toEqual([1, 'record 2 says that it has 2147483647 bytes']);
  });

  it('is written little-endian in either unit, as other tools write it', () => {
    fc.assert(
      fc.property(fc.array(record), fc.boolean(), (records, nanoseconds) => {
        const written = Buffer.concat([pcapHeader(nanoseconds), ...records.map(pcapRecord)]);
        expect(written).toEqual(pcapFile(records, { nanoseconds }));
      }),
    );
  });
});

describe('what is no such capture is refused with what to do', () => {
  it.each<[string, Uint8Array, string, string]>([
    ['nothing', new Uint8Array(), 'x.pcap is empty', 'tcpdump'],
    ['pcapng', Buffer.from('0a0d0d0a1c0000004d3c2b1a', 'hex'), 'is a pcapng file', 'editcap -F pcap'],
    ['gzip', Buffer.from('1f8b08000000', 'hex'), 'is compressed', 'gunzip'],
    ['zstd', Buffer.from('28b52ffd0000', 'hex'), 'is compressed', 'unzstd'],
    ['the form of an old patch', pcapFile([], { magic: 0xa1b2cd34 }), 'records of another form', 'editcap -F pcap'],
    [
      'that form in the other byte order',
      pcapFile([], { magic: 0xa1b2cd34, littleEndian: false }),
      'records of another form',
      'editcap -F pcap',
    ],
    ['half a header', pcapFile([]).subarray(0, 23), 'has 23 bytes', 'tcpdump'],
    ['a text', Buffer.from('vips:\n  web: {address: 192.0.2.10}\n'), 'is not a pcap file', 'tcpdump'],
    ['cooked', pcapFile([frame], { linkType: 113 }), 'link type 113 (Linux cooked, as of -i any)', 'tcpdump -i eth0'],
    ['raw IP', pcapFile([frame], { linkType: 101 }), 'link type 101 (IP without a frame), not Ethernet', 'tcpdump'],
    ['a link type of nobody', pcapFile([frame], { linkType: 77 }), 'has link type 77, not Ethernet (1)', 'tcpdump'],
    [
      'cut frames',
      pcapFile([frame, { data: frame, wireLength: 1514 }, { data: frame, wireLength: 61 }]),
      'has 2 of 3 frames not whole: frame 2 has 60 of its 1514 bytes',
      'tcpdump -s 0',
    ],
  ])('%s', (_what, bytes, message, fix) => {
    const error = thrownBy(() => readPcap(bytes, 'x.pcap'));
    expect(error.code).toBe('PF_PCAP');
    expect(error.message).toContain(message);
    expect(error.fix).toContain(fix);
  });
});

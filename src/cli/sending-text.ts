import type { Outcome } from '../core/explain.ts';
import type { Sending } from '../core/explain-sending.ts';

/** How packets get to their reals, and how large they may be. */

function outerText({ outer }: Sending): string {
  if (outer === null) return '';
  const end = (address: string, port: number | null): string => {
    if (port === null) return address;
    return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  };
  return `${end(outer.source, outer.sourcePort)} > ${end(outer.destination, outer.destinationPort)}`;
}

function sizeText({ largest, overhead }: Sending): string {
  if (largest !== null) return `packets of more than ${largest} bytes are too big`;
  return overhead === 0
    ? 'packets may have as many bytes as the MTU'
    : `packets may have the MTU less ${overhead} bytes`;
}

function sendingText(real: string, sending: Sending): string {
  const size = sizeText(sending);
  switch (sending.encap) {
    case 'local':
      return `not at all: ${real} is an address of this host`;
    case 'l2':
      return `to ${real} as it is, to ${sending.mac === null ? 'its MAC address' : `MAC address ${sending.mac}`}; ${size}`;
    default:
      return `by ${sending.encap}, ${outerText(sending)}; ${size}`;
  }
}

/** One line for each way that one of these packets goes. */
export function sendingLines(outcomes: readonly Outcome[]): string[] {
  const lines = outcomes.flatMap(({ real, sending }) =>
    real === null || sending === null ? [] : [sendingText(real, sending)],
  );
  return [...new Set(lines)];
}

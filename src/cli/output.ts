export type Cell = string | number | null | undefined;

/** Two spaces between columns; `-` for what is absent; numbers to the right. */
export function formatTable(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map((row) => header.map((_, i) => String(row[i] ?? '-')));
  const widths = header.map((title, i) => Math.max(title.length, ...texts.map((row) => row[i]!.length)));
  const rightwards = header.map((_, i) => {
    const present = rows.map((row) => row[i] ?? null).filter((cell) => cell !== null);
    return present.length > 0 && present.every((cell) => typeof cell === 'number');
  });
  const line = (row: readonly string[]): string =>
    row
      .map((text, i) => (rightwards[i] ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [header, ...texts].map(line).join('\n');
}

export function printTable(header: readonly string[], rows: readonly (readonly Cell[])[]): void {
  console.log(formatTable(header, rows));
}

/** `1 VIP`, `2 VIPs` */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** Enough of a digest to tell two apart by eye. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 12);
}

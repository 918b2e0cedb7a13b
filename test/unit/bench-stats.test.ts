import { afterEach, describe, expect, it, vi } from 'vitest';
import { median, percentile, printTable } from '../../bench/stats.ts';

describe('median', () => {
  it('is the value in the middle, whatever the order', () => {
    expect(median([9, 1, 10])).toBe(9);
  });

  it('is the mean of the two in the middle of an even number', () => {
    expect(median([4, 1, 2, 100])).toBe(3);
  });

  it('is no number without values', () => {
    expect(median([])).toBeNaN();
  });
});

describe('percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);

  it('is the nearest rank', () => {
    expect(percentile(hundred, 0.99)).toBe(99);
    expect(percentile(hundred, 0.5)).toBe(50);
    expect(percentile([5, 7, 6], 0.99)).toBe(7);
  });

  it('reaches from the smallest to the largest value', () => {
    expect(percentile(hundred, 0)).toBe(1);
    expect(percentile(hundred, 1)).toBe(100);
  });
});

describe('printTable', () => {
  afterEach(() => vi.restoreAllMocks());

  it('prints Markdown whose figures are aligned to the right', () => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    printTable(
      ['what', 'ns'],
      [
        ['a', '7'],
        ['longer', '1234'],
      ],
    );
    expect(log.mock.calls.map(([line]) => line)).toEqual([
      '| what   |   ns |',
      '| ------ | ---: |',
      '| a      |    7 |',
      '| longer | 1234 |',
    ]);
  });
});

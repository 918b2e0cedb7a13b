/** One seeded fault: a small textual patch of the core or of the program, and the test that has to notice. */
export interface Mutation {
  readonly name: string;
  /** Below src/core/, or below bpf/. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
  /** What would go wrong for an operator. */
  readonly breaks: string;
  /**
   * Below test/unit/, or of the program below test/kernel/, without `.test.ts`; and the name of the test as the file has it,
   * or of its scenario file.
   */
  readonly caughtBy: { readonly file: string; readonly test: string };
}

export const soundPlans = {
  file: 'plan-properties',
  test: 'leads from any maps to any target, sound after every operation, and a second one is empty',
};
export const tightPlans = {
  file: 'plan-properties',
  test: 'gets there in maps that hold the target but not the old and the new at once, or says what is full',
};
export const scenario = (test: string) => ({ file: 'scenarios', test });
export const by = (file: string, test: string): Mutation['caughtBy'] => ({ file, test });

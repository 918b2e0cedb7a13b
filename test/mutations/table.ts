import type { Mutation } from './mutation.ts';
import { plannerMutations } from './planner.ts';
import { hotMutations } from './program-hot.ts';
import { readingMutations } from './program-reading.ts';
import { sendingMutations } from './program-sending.ts';
import { settledMutations } from './program-settled.ts';
import { stateMutations } from './state.ts';

/** All seeded faults of the core, in the order of docs/testing.md. */
export const mutations: readonly Mutation[] = [...plannerMutations, ...stateMutations];

/** Those of the program. */
export const programMutations: readonly Mutation[] = [
  ...readingMutations,
  ...sendingMutations,
  ...hotMutations,
  ...settledMutations,
];

import type { Mutation } from './mutation.ts';
import { plannerMutations } from './planner.ts';
import { stateMutations } from './state.ts';

/** All seeded faults, in the order of docs/testing.md. */
export const mutations: readonly Mutation[] = [...plannerMutations, ...stateMutations];

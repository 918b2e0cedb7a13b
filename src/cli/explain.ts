import { readConfig } from '../config.ts';
import { type Explanation, explainFlow } from '../core/explain.ts';
import type { Snapshot } from '../core/model.ts';
import { type Inquiry, readInquiry } from '../core/packet-words.ts';
import { RingBuilder } from '../core/ring-builder.ts';
import { buildTarget, type HostImage } from '../core/target.ts';
import { allUp } from '../core/verdicts.ts';
import { fetchExplanation } from './agent-client.ts';
import { defaultConfigPath } from './config-path.ts';
import { explanationText } from './explain-text.ts';
import { readGoodState } from './state-file.ts';

export interface ExplainOptions {
  /** State file to explain from, in place of the agent. */
  readonly state?: string;
  readonly config?: string;
  readonly socket?: string;
  readonly output: 'table' | 'json';
}

/** What is printed: `lb` is null, and there are no problems, where a file is explained. */
export interface Explained extends Explanation {
  readonly lb: string | null;
  readonly problems: readonly string[];
}

/** Any link will do: where a flow goes does not depend on it. */
const someHost: HostImage = {
  mtu: 65_535,
  gatewayMac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
  local: new Set(),
  neighbours: new Map(),
  tunnels: [],
  own: new Set(),
};

/** Every real is taken as up, as `pilotfish trace` does. */
function explainOffline(snapshot: Snapshot, inquiry: Inquiry): Explanation {
  const target = buildTarget(snapshot, someHost, allUp(snapshot), new Map());
  const sources = { snapshot, target, linkKnown: false, rings: new RingBuilder(1), health: null, remembered: null };
  return explainFlow(inquiry, sources);
}

async function explain(inquiry: Inquiry, { state, config, socket }: ExplainOptions): Promise<Explained> {
  if (state === undefined)
    return fetchExplanation(socket ?? readConfig(config ?? defaultConfigPath).admin.socket, inquiry.text);
  return { lb: null, problems: [], ...explainOffline(await readGoodState(state), inquiry) };
}

/**
 * Says why a flow goes to its real: by the agent on this host, or by a state file alone.
 * @throws PilotfishError PF_USAGE, PF_STATE, PF_CONFIG, PF_AGENT
 */
export async function runExplain(words: readonly string[], options: ExplainOptions): Promise<number> {
  const explained = await explain(readInquiry(words.join(' ')), options);
  console.log(options.output === 'json' ? JSON.stringify(explained, null, 2) : explanationText(explained));
  return 0;
}

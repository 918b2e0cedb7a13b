import type { Logger } from 'pino';
import { AdminServer } from './admin/server.ts';
import { type AgentExplanation, explainInForce } from './agent-explain.ts';
import type { AgentState, StateSources } from './agent-state.ts';
import { agentState } from './agent-state.ts';
import { Announcer } from './announce/announcer.ts';
import { LeftMark } from './announce/left-mark.ts';
import type { AgentConfig } from './config.ts';
import { checkTargets } from './core/check-targets.ts';
import type { Observed } from './core/data-plane.ts';
import type { HealthTransition } from './core/health-state.ts';
import type { Snapshot } from './core/model.ts';
import { realKey } from './core/model.ts';
import { ownInPrefixes } from './core/own-addresses.ts';
import { RingBuilder } from './core/ring-builder.ts';
import { segmentReals } from './core/segment-reals.ts';
import { type Digests, digestState, noDigests } from './core/state-digest.ts';
import { tooTightForIpv6 } from './core/tight-mtu.ts';
import type { Attachment } from './dataplane/attachment.ts';
import { attach, checkPinDir, describeFound, servingProgram } from './dataplane/attachment.ts';
import { MapDataPlane } from './dataplane/dataplane.ts';
import { Egress } from './dataplane/egress.ts';
import { HostLink } from './dataplane/host-link.ts';
import { removePasses } from './dataplane/pass.ts';
import type { LoadedProgram } from './dataplane/program.ts';
import { loadProgram } from './dataplane/program.ts';
import { FleetPublisher } from './fleet/publisher.ts';
import { Health } from './health/health.ts';
import { HeldObservations } from './health/held-observations.ts';
import { EtcdLeasedKeys } from './sync/etcd-lease.ts';
import { EtcdSource } from './sync/etcd-source.ts';
import { FileSource } from './sync/file-source.ts';
import { Reconciler } from './sync/reconciler.ts';
import { SnapshotStore } from './sync/snapshot-store.ts';
import type { Source } from './sync/source.ts';
import { version } from './version.ts';

/** How long first checks may take before the program is attached with whatever is known by then. */
const WARM_UP_MS = 5_000;
/** How long a check that this host could not carry out stays an alarm. */
const INCONCLUSIVE_MS = 30_000;

/**
 * The composition root: builds the parts and wires them. The order matters for those who restart it under traffic:
 * the program is loaded and its maps are filled first, and only then does it replace the one that is attached.
 */
export class Agent {
  /** Rejects when the agent cannot go on, such as when another live LB has its name. */
  readonly failed: Promise<never>;
  readonly #config: AgentConfig;
  readonly #log: Logger;
  /** Null when packets leave where they came in. */
  readonly #egress: Egress | null;
  readonly #link: HostLink;
  readonly #loaded: LoadedProgram;
  readonly #rings: RingBuilder;
  readonly #dataPlane: MapDataPlane;
  readonly #snapshots: SnapshotStore;
  readonly #health: Health;
  readonly #held: HeldObservations;
  readonly #reconciler: Reconciler;
  readonly #source: Source;
  /** Null with a file source: there is nothing to publish to. */
  readonly #publisher: FleetPublisher | null;
  readonly #announcer: Announcer;
  #admin: AdminServer | undefined;
  #attachment: Attachment | null = null;
  #digests: Digests = noDigests;
  #warmUpOver = false;
  /** Id of the program of an earlier agent that serves VIPs; null when there was none. */
  readonly #earlierProgram: number | null;
  #warmUpTimer: NodeJS.Timeout | undefined;
  #settleTimer: NodeJS.Timeout | undefined;
  #fail: (error: unknown) => void = () => {};

  /**
   * @throws PilotfishError for everything that makes it pointless to start: interface, gateway, pin directory, a program
   * that cannot be loaded. A store that does not answer is no such thing.
   */
  static async start(config: AgentConfig, log: Logger): Promise<Agent> {
    checkPinDir(config.pinDir);
    const { interface: name, egress: out, mode, pinDir, gateway, mtu, decap: tunnels } = config;
    // First of all: a NIC that loses its link by it has it back before the gateway is waited for.
    const egress = out === undefined ? null : await Egress.open({ interface: out, mode, pinDir, log });
    let link: HostLink | undefined;
    let loaded: LoadedProgram | undefined;
    let agent: Agent | undefined;
    try {
      link = await HostLink.open({ interface: name, egress: out, gateway, mtu, tunnels, log });
      loaded = await loadProgram({
        ...config.limits,
        flowsPerCpu: config.flowCache.entriesPerCpu,
        newFlowsPerSecond: config.flowCache.newFlowsPerSecond,
        hotFlows: config.flowCache.hotFlows,
        egress: link.egressIndex,
      });
      agent = new Agent(config, log, egress, link, loaded);
      await agent.#start();
      return agent;
    } catch (error) {
      // Whatever stays open, such as the thread of the checks, would keep a process alive that does no work.
      if (agent !== undefined) await agent.stop({ leave: false });
      else {
        loaded?.object.close();
        await Promise.all([link?.close(), egress?.close()]);
      }
      throw error;
    }
  }

  private constructor(config: AgentConfig, log: Logger, egress: Egress | null, link: HostLink, loaded: LoadedProgram) {
    const mark = new LeftMark(config.stateDir, config.name);
    // A directory that cannot be used is said now, before a thread is started, and not when somebody asks for the status.
    mark.since();
    this.#config = config;
    this.#log = log;
    this.#egress = egress;
    this.#link = link;
    this.#loaded = loaded;
    this.#rings = new RingBuilder(config.limits.pools);
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    // A failure before anybody waits for it is not an unhandled one.
    this.failed.catch(() => {});
    this.#dataPlane = new MapDataPlane(loaded.store, this.#rings);
    this.#reconciler = new Reconciler({
      dataPlane: this.#dataPlane,
      log,
      onReconciled: () => this.#afterReconcile(),
    });
    this.#earlierProgram = servingProgram(config.pinDir);
    this.#held = new HeldObservations({
      stateDir: config.stateDir,
      lb: config.name,
      program: loaded.program.info.id,
      current: () => this.#health.observations().values(),
      log,
    });
    this.#health = new Health({
      lb: config.name,
      log,
      // Its program goes by them still. Where none forwards, nobody is worse off if reals are judged anew.
      initial: this.#earlierProgram === null ? [] : this.#held.read(this.#earlierProgram),
      onTransition: (transition) => this.#onTransition(transition),
    });
    this.#snapshots = new SnapshotStore({
      onEmpty: config.onEmpty,
      limits: config.limits,
      log,
      onSnapshot: (s) => this.#onSnapshot(s),
    });
    if ('etcd' in config.source) {
      const { etcd } = config.source;
      this.#source = new EtcdSource({ ...etcd, log });
      this.#publisher = new FleetPublisher({
        lb: config.name,
        keys: new EtcdLeasedKeys({ ...etcd, log }),
        log,
        onConflict: (error) => this.#fail(error),
        onNameSettled: () => this.#afterReconcile(),
      });
    } else {
      this.#source = new FileSource({ path: config.source.file, log });
      this.#publisher = null;
    }
    this.#announcer = new Announcer({ hooks: config.announce, mark, log });
  }

  async #start(): Promise<void> {
    const { pinDir, admin, name } = this.#config;
    const found = describeFound(pinDir);
    if (found !== null)
      this.#log.info(
        { found },
        'an earlier agent left its program running; it is replaced once this one knows its state',
      );
    this.#admin = await AdminServer.listen(
      admin.socket,
      { notReady: () => this.#notReady(), state: () => this.#state(), explain: (flow) => this.#explain(flow) },
      this.#log,
    );
    this.#reconciler.setHost(this.#link.image);
    this.#link.watch((image) => {
      const { mtu, gatewayMac, ownMac, local, neighbours } = image;
      const counts = { local: local.size, neighbours: neighbours.size };
      this.#log.info({ mtu, gatewayMac, ownMac, ...counts }, 'this host, its gateway or its neighbours changed');
      this.#reconciler.setHost(image);
    });
    // A hot flow shows where it is once a tick, which may have been all but a tick before its last packet.
    const { tickMs } = this.#loaded;
    this.#settleTimer = setInterval(() => this.#dataPlane.settle(), this.#config.flowCache.longestIdleMs + tickMs);
    this.#source.start(this.#snapshots);
    this.#publisher?.start();
    const { interface: ingress, egress = ingress } = this.#config;
    this.#log.info({ interface: ingress, egress, gateway: this.#link.gateway, name }, 'agent started');
  }

  /**
   * Stops this process’s part; program, maps and link stay pinned and forward on.
   *
   * @param options.leave a person wants it to stop: then it leaves the routers’ paths if `announce.onStop` says so
   */
  async stop(options: { readonly leave: boolean }): Promise<void> {
    clearTimeout(this.#warmUpTimer);
    clearInterval(this.#settleTimer);
    await this.#announcer.stop(options);
    await Promise.all([
      this.#source.close(),
      this.#health.close().then(() => this.#held.close()),
      this.#publisher?.stop(),
      this.#link.close(),
      this.#egress?.close(),
    ]);
    await this.#reconciler.close();
    await this.#admin?.close();
    this.#attachment?.close();
    this.#loaded.object.close();
  }

  #onSnapshot(snapshot: Snapshot): void {
    // What is known of its reals is of use if they come back, and they get as long as any to be judged.
    if (this.#attachment === null && this.#looksWiped(snapshot)) {
      this.#reconciler.setSnapshot(snapshot);
      return;
    }
    this.#warmUpTimer ??= setTimeout(() => {
      this.#warmUpOver = true;
      this.#afterReconcile();
    }, WARM_UP_MS);
    this.#health.update(checkTargets(snapshot));
    this.#keep();
    // With those that are not checked any more forgotten: a real that comes back is one that nobody has judged.
    this.#reconciler.setVerdicts(this.#health.verdicts);
    this.#link.want(segmentReals(snapshot, this.#reconciler.status.observed));
    this.#reconciler.setSnapshot(snapshot);
  }

  #onTransition(transition: HealthTransition): void {
    this.#log.info({ ...transition }, 'a real changed its health');
    this.#keep();
    this.#reconciler.setVerdicts(this.#health.verdicts);
  }

  /** For the next agent, which takes over from this one’s program: until that is attached, the file is about an earlier one. */
  #keep(): void {
    if (this.#attachment !== null) this.#held.changed();
  }

  /** True when every real has been judged, so that attaching would not turn a running LB’s pools empty. */
  #judgedAll(snapshot: Snapshot): boolean {
    return checkTargets(snapshot).every(({ pool, address }) => {
      const verdict = this.#health.verdicts.get(realKey(pool, address));
      return verdict === 'up' || verdict === 'down';
    });
  }

  /** True when the maps have the MAC address of every real that needs one, as far as there will be one. */
  #reachesAll(observed: Observed | null): boolean {
    const { neighbours } = this.#link.image;
    return (
      this.#link.knowsNeighbours &&
      [...(observed?.reals.values() ?? [])].every(
        ({ address, encap }) => encap.kind !== 'l2' || encap.mac === (neighbours.get(address) ?? encap.mac),
      )
    );
  }

  #afterReconcile(): void {
    const { snapshot, observed } = this.#reconciler.status;
    if (snapshot === null) return;
    // A real that is gone from the state is looked after until it is gone from the maps.
    this.#link.want(segmentReals(this.#snapshots.snapshot ?? snapshot, observed));
    const warm = this.#warmUpOver || (this.#judgedAll(snapshot) && this.#reachesAll(observed));
    if (this.#attachment === null && warm && !this.#looksWiped(snapshot)) this.#attach();
    this.#publish(snapshot);
    if (this.#notReady().length === 0) this.#announcer.ready();
  }

  /** An empty source is no reason to replace a program that serves VIPs: it may be a wiped store (`onEmpty`). */
  #looksWiped(snapshot: Snapshot): boolean {
    return this.#config.onEmpty === 'keep' && this.#earlierProgram !== null && snapshot.vips.size === 0;
  }

  #attach(): void {
    const { interface: name, mode, pinDir } = this.#config;
    try {
      this.#attachment = attach(this.#loaded, { interface: name, mode, pinDir, log: this.#log });
      this.#log.info({ interface: name, mode: this.#attachment.mode, replaced: this.#attachment.replaced }, 'attached');
      this.#keep();
      // Not before: until now packets left by what an earlier agent has in agent.yaml.
      const removed = removePasses(pinDir, (index) => index !== this.#egress?.programIndex);
      if (removed.length > 0) this.#log.info({ removed }, 'packets do not leave there any more');
      this.#egress?.watch();
    } catch (error) {
      this.#fail(error);
    }
  }

  #publish(snapshot: Snapshot): void {
    const { target } = this.#reconciler.status;
    // Until this agent’s maps are attached those of an earlier one are in force, of which it knows nothing.
    if (target !== null && this.#attachment !== null) this.#digests = digestState(snapshot, target, this.#rings);
    this.#publisher?.setInfo({ version, revision: snapshot.revision, digests: this.#digests });
    const observations = [...this.#health.observations()];
    this.#publisher?.setObservations(new Map(observations.map(([key, { observation }]) => [key, observation])));
    this.#publisher?.setRejected(snapshot.rejected);
  }

  /** What keeps this LB from doing its work; empty when nothing does. */
  #notReady(): string[] {
    const missing: string[] = [];
    const source = this.#snapshots.sourceStatus;
    const { snapshot, lastError } = this.#reconciler.status;
    if (this.#snapshots.snapshot === null)
      missing.push(`no desired state yet: ${source.state === 'lost' ? source.reason : source.state}`);
    else if (snapshot === null && lastError === null) missing.push('the first state is not in the maps yet');
    if (lastError !== null) missing.push(`the maps could not be written: ${lastError}`);
    if (this.#attachment === null)
      missing.push(
        snapshot !== null && this.#looksWiped(snapshot)
          ? 'the desired state has no VIP, but the program of an earlier agent serves some: that one stays (onEmpty: keep)'
          : 'the program is not attached yet: it waits for the first health checks',
      );
    // An LB that is refused ends, and would stay in the routers’ paths if it had joined before.
    const nameProblem = this.#publisher?.nameProblem ?? null;
    if (nameProblem !== null) missing.push(nameProblem);
    return missing;
  }

  /** What people should look at although packets are forwarded. */
  #alarms(): string[] {
    const alarms = [...this.#link.problems, ...(this.#egress?.problems ?? [])];
    const source = this.#snapshots.sourceStatus;
    if (source.state === 'lost' && this.#snapshots.snapshot !== null)
      alarms.push(`the source is lost, the last state stays in force: ${source.reason}`);
    if (this.#snapshots.keptEmpty) alarms.push('the store is empty, the last state stays in force (onEmpty: keep)');
    const { lastInconclusive } = this.#health.stats;
    if (lastInconclusive !== null && performance.now() - lastInconclusive.at < INCONCLUSIVE_MS)
      alarms.push(`this host cannot carry out checks, verdicts stay: ${lastInconclusive.what}`);
    const { target } = this.#reconciler.status;
    for (const pool of target?.pools.values() ?? [])
      if (pool.floor) alarms.push(`pool ${pool.name} has less weight up than minHealthy: its health is ignored`);
    for (const [pool, mtu] of target === null ? [] : tooTightForIpv6(target))
      alarms.push(
        `IPv6 packets of 1280 bytes do not fit to pool ${pool}, and are never smaller: it needs an MTU of ${mtu}`,
      );
    for (const [address, vip] of ownInPrefixes(target?.vips.values() ?? [], target?.own ?? []))
      alarms.push(`the prefix of VIP ${vip} contains ${address}, which is this host’s or its gateway’s: not balanced`);
    const announced = this.#announcer.state;
    if (announced.state === 'failed')
      alarms.push(`an announce hook fails and is tried again, until then routers do as before: ${announced.reason}`);
    return alarms;
  }

  #state(): AgentState {
    const notReady = this.#notReady();
    const { runs, maxLatenessMs, inconclusive } = this.#health.stats;
    return agentState(
      {
        lb: this.#config.name,
        interface: this.#config.interface,
        egress: this.#egress?.state ?? null,
        gateway: { address: this.#link.gateway, mac: this.#link.image.gatewayMac },
        attached: this.#attachment?.mode ?? null,
        ready: notReady.length === 0,
        problems: [...notReady, ...this.#alarms()],
        announced: this.#announcer.state,
        digest: this.#digests.state,
        checks: { runs, maxLatenessMs, inconclusive },
        source: this.#snapshots.sourceStatus,
        rejected: this.#snapshots.snapshot?.rejected ?? [],
      },
      this.#sources(),
    );
  }

  #explain(flow: string): AgentExplanation {
    const explanation = explainInForce(flow, this.#sources(), this.#loaded);
    return { lb: this.#config.name, problems: [...this.#notReady(), ...this.#alarms()], ...explanation };
  }

  #sources(): StateSources {
    return {
      status: this.#reconciler.status,
      store: this.#loaded.store,
      rings: this.#rings,
      observations: this.#health.observations(),
    };
  }
}

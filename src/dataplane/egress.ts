import type { Logger } from 'pino';
import { messageOf, PilotfishError } from '../core/errors.ts';
import type { AttachOptions } from './attachment.ts';
import { findLink, type LinkRow, readDetails, readLinks } from './iproute.ts';
import { OneAtATime } from './one-at-a-time.ts';
import { attachPass, hasPass } from './pass.ts';

/** Kinds of virtual interfaces whose drivers take redirected frames (ndo_xdp_xmit). Hardware has no kind. */
const takesRedirected: readonly string[] = ['veth', 'tun', 'bond'];
/** XDP_ATTACHED_SKB of linux/if_link.h: such a program makes no driver ready. */
const GENERIC = 2;
const POLL_MS = 10_000;

const CHECK = 'xdp_redirect_err and xdp_devmap_xmit of `perf trace -e xdp:*` tell whether frames get through';

export interface EgressOptions {
  /** Where packets to reals go out. */
  readonly interface: string;
  readonly mode: AttachOptions['mode'];
  readonly pinDir: string;
  readonly log: Logger;
}

/** The XDP program that has the driver send what is redirected to the interface. */
export interface EgressState {
  readonly interface: string;
  /**
   * `own`: attached by this agent or an earlier one. `foreign`: by somebody else. `missing`: there is none. `unseen`: it
   * would be in another network namespace. `unneeded`: the driver sends without one.
   */
  readonly program: 'own' | 'foreign' | 'missing' | 'unseen' | 'unneeded';
  /** The interface that it has to be on: this one, or the other end of a veth; null when there is none to be seen. */
  readonly programOn: string | null;
}

interface Place {
  readonly name: string;
  readonly index: number;
}

/**
 * Frames that an interface cannot send vanish without a counter of ours, so it is made ready, and what speaks against
 * that is said. The kernel asks that the driver has ndo_xdp_xmit and its queues for it: most NICs make them when an XDP
 * program is attached, a bond hands its program on to its NICs, and a veth sends while its other end has one or has
 * GRO on (net/core/filter.c, drivers/net/veth.c). In generic mode redirected packets leave as the kernel's own do.
 */
export class Egress {
  readonly #options: EgressOptions;
  readonly #place: Place | null;
  readonly #looker: OneAtATime;
  #program: EgressState['program'];
  #problem: string | null = null;
  /** It was attached, or could not be: to try again is up to whoever restarts the agent, since NICs may lose their link by it. */
  #tried = false;
  #poll: NodeJS.Timeout | undefined;

  private constructor(options: EgressOptions, place: Place | 'unseen' | 'unneeded') {
    this.#options = options;
    this.#place = typeof place === 'string' ? null : place;
    this.#program = typeof place === 'string' ? place : options.mode === 'generic' ? 'unneeded' : 'missing';
    this.#looker = new OneAtATime(() => this.#look());
  }

  /**
   * Makes the interface ready if that is possible.
   *
   * @throws PilotfishError PF_INTERFACE when no packet could leave by this interface
   */
  static async open(options: EgressOptions): Promise<Egress> {
    const { interface: name, log } = options;
    const place = await findPlace(options);
    const egress = new Egress(options, place);
    if (egress.#program === 'unseen')
      log.warn(
        { interface: name, check: CHECK },
        'the egress interface is a veth: it sends only while its other end has an XDP program, or GRO on',
      );
    await egress.#look();
    return egress;
  }

  get state(): EgressState {
    return {
      interface: this.#options.interface,
      program: this.#program,
      programOn: this.#program === 'unneeded' ? null : (this.#place?.name ?? null),
    };
  }

  /** What people should look at, in words. */
  get problems(): string[] {
    return this.#problem === null ? [] : [this.#problem];
  }

  /**
   * Index of the interface that the agent's own program belongs on; null: nowhere. Also in generic mode, where one that is
   * there stays: an earlier agent's link may be in driver mode yet.
   */
  get programIndex(): number | null {
    return this.#place?.index ?? null;
  }

  /** Looks now and every 10 s whether there still is a program. */
  watch(): void {
    this.#poll ??= setInterval(() => this.#looker.request(), POLL_MS);
    this.#looker.request();
  }

  async close(): Promise<void> {
    clearInterval(this.#poll);
    await this.#looker.close();
  }

  async #look(): Promise<void> {
    if (this.#place === null || this.#program === 'unneeded') return;
    const { name, index } = this.#place;
    try {
      const { xdp } = await readDetails(name);
      if (xdp === undefined) await this.#attach(index);
      else if (xdp.mode === GENERIC) this.#found('missing');
      else this.#found(hasPass(this.#options.pinDir, index) ? 'own' : 'foreign');
    } catch (error) {
      this.#miss(messageOf(error).trim());
    }
  }

  async #attach(index: number): Promise<void> {
    if (this.#program === 'own') this.#miss('it was detached, so restart the agent');
    if (this.#tried) return;
    this.#tried = true;
    await attachPass(this.#options.pinDir, index);
    this.#has('own');
  }

  #found(program: 'own' | 'foreign' | 'missing'): void {
    // Once somebody else’s is gone, there is room for the own one.
    this.#tried = program === 'own';
    if (program === 'missing') this.#miss('there is one in generic mode, which is not enough and in the way');
    else this.#has(program);
  }

  #has(program: 'own' | 'foreign'): void {
    this.#problem = null;
    if (program === this.#program) return;
    this.#program = program;
    this.#options.log.info({ ...this.state }, 'the egress interface has the XDP program that its driver asks for');
  }

  #miss(reason: string): void {
    const { interface: name, log } = this.#options;
    const where = this.#place?.name === name ? 'it' : `${this.#place?.name}, its other end`;
    const problem = `packets may not leave by ${name}, as there is no native XDP program on ${where}: ${reason}; mode: generic needs none`;
    this.#program = 'missing';
    if (problem === this.#problem) return;
    this.#problem = problem;
    log.warn(
      { ...this.state, reason, check: CHECK },
      'most drivers send redirected frames only beside an XDP program, and the egress interface has none',
    );
  }
}

/** @throws PilotfishError PF_INTERFACE */
async function findPlace({ interface: name, mode }: EgressOptions): Promise<Place | 'unseen' | 'unneeded'> {
  const links = await readLinks();
  const link = await readDetails(findLink(links, name, 'egress').ifname);
  if (link.link_type !== 'ether')
    throw new PilotfishError(
      'PF_INTERFACE',
      `egress ${name} carries no Ethernet frames, its type is ${link.link_type}`,
      {
        fix: 'set egress in agent.yaml to an Ethernet interface, or remove it',
      },
    );
  const kind = link.linkinfo?.info_kind;
  if (mode !== 'generic' && kind !== undefined && !takesRedirected.includes(kind))
    throw new PilotfishError(
      'PF_INTERFACE',
      `egress ${name} is a ${kind}, which cannot send what XDP redirects to it`,
      {
        fix: `set egress in agent.yaml to the interface below ${name}, or set mode: generic`,
      },
    );
  if (kind === 'tun') return 'unneeded';
  if (kind !== 'veth') return placeOf(link);
  const other = links.find(({ ifname }) => ifname === link.link);
  if (other !== undefined) return placeOf(other);
  return mode === 'generic' ? 'unneeded' : 'unseen';
}

const placeOf = ({ ifname: name, ifindex: index }: LinkRow): Place => ({ name, index });

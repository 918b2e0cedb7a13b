import { type RingImage, SLOT_WORDS } from './ring-image.ts';

const ALL = 0xffff_ffff;
const NO_REALS = new Uint16Array();

/** A ring that the program has or may have. */
interface Placed {
  readonly image: RingImage;
  /** Its slots that became unsettled since the last look at strays. */
  readonly young: Uint32Array;
}

/**
 * Which slots of rings are settled (docs/decisions/0010-settled-slots.md): the flow cache has no flow of theirs at another real than the
 * ring’s, so that it need not be asked. A slot is unsettled from before its real changes, and until none of its flows was met
 * elsewhere for as long as there is between two calls of `settle`.
 *
 * Knows nothing of how rings get into the kernel.
 */
export class Settling {
  /** By pool number. More than one: it is not known which of them the program has. None: only that flows may be anywhere. */
  readonly #rings = new Map<number, readonly Placed[]>();
  readonly #release: (image: RingImage) => void;

  /** @param release called for an image that is done with */
  constructor(release: (image: RingImage) => void = () => {}) {
    this.#release = release;
  }

  /** Before packets may see a ring, whose slots are filled: sets what it takes over from the one in its place. */
  add(pool: number, image: RingImage): void {
    const before = this.#rings.get(pool) ?? [];
    const added = { image, young: new Uint32Array(SLOT_WORDS) };
    const olds = before.map((old) => ({ ...old, reals: old.image.reals() }));
    const reals = before.length > 0 ? image.reals() : NO_REALS;
    if (this.#rings.has(pool) && before.length === 0) added.young.fill(ALL);
    for (let word = 0; word < SLOT_WORDS; word++) {
      let unsettled = 0;
      for (const old of olds) {
        added.young[word]! |= old.young[word]! | changedSlots(old.reals, reals, word);
        unsettled |= old.image.unsettled(word);
        image.strays[word]! |= old.image.strays[word]!;
      }
      show(added, word, unsettled | added.young[word]!);
    }
    this.#rings.set(pool, [...before, added]);
  }

  /** The program has this ring, which was added, and no other for the pool: no packet reads another one any more. */
  placed(pool: number, image: RingImage): void {
    for (const { image: old } of this.#rings.get(pool) ?? []) {
      if (old === image) continue;
      // What was met since the ring was added.
      for (let word = 0; word < SLOT_WORDS; word++) Atomics.or(image.strays, word, old.strays[word] ?? 0);
      this.#remove(pool, old);
    }
  }

  /** The program has never had this ring, which was added. */
  dropped(pool: number, image: RingImage): void {
    this.#remove(pool, image);
  }

  /** The pool has no ring any more; flows of it may be remembered still. */
  removed(pool: number): void {
    for (const { image } of this.#rings.get(pool) ?? []) this.#remove(pool, image);
  }

  /** The flow cache may have flows of these pools at any real. To be called before the first packet of such a flow can come. */
  unsettle(pools: Iterable<number>): void {
    for (const pool of pools) {
      const rings = this.#rings.get(pool) ?? [];
      this.#rings.set(pool, rings);
      for (const ring of rings) {
        ring.young.fill(ALL);
        for (let word = 0; word < SLOT_WORDS; word++) show(ring, word, ALL);
      }
    }
  }

  /**
   * Settles what was unsettled before the last call, and of which no flow was met elsewhere since. So a flow that was silent for
   * as long as the time between two calls may be one that is not asked about any more.
   */
  settle(): void {
    for (const rings of this.#rings.values())
      for (let word = 0; word < SLOT_WORDS; word++) {
        const met = rings.reduce((bits, { image }) => bits | Atomics.exchange(image.strays, word, 0), 0);
        for (const ring of rings) {
          show(ring, word, met | ring.young[word]!);
          ring.young[word] = 0;
        }
      }
  }

  #remove(pool: number, image: RingImage): void {
    const rings = this.#rings.get(pool) ?? [];
    this.#rings.set(
      pool,
      rings.filter((ring) => ring.image !== image),
    );
    this.#release(image);
  }
}

/** Most words stay as they are. */
function show({ image }: Placed, word: number, bits: number): void {
  if (image.unsettled(word) !== bits >>> 0) image.setUnsettled(word, bits);
}

/** Bits of the slots of one word that differ. */
function changedSlots(before: Uint16Array, after: Uint16Array, word: number): number {
  let bits = 0;
  const first = word * 32;
  const end = Math.min(first + 32, after.length);
  for (let slot = first; slot < end; slot++) if (before[slot] !== after[slot]) bits |= 1 << (slot - first);
  return bits;
}

import { closest, distance } from 'fastest-levenshtein';

const mostListed = 12;

/** The known word that was probably meant, or null when none is near. */
export function nearest(word: string, known: readonly string[]): string | null {
  if (known.length === 0) return null;
  const folded = word.toLowerCase();
  const best = closest(
    folded,
    known.map((candidate) => candidate.toLowerCase()),
  );
  // Two letters in the wrong order are two edits, yet nearly any word of three letters is two edits from any other.
  const limit = word.length < 4 ? Math.min(1, word.length - 1) : Math.max(2, Math.floor(word.length / 3));
  if (distance(folded, best) > limit) return null;
  return known.find((candidate) => candidate.toLowerCase() === best) ?? null;
}

/** The words for an “or else” sentence, cut off when there are many. */
export function listed(known: readonly string[]): string {
  const head = known.slice(0, mostListed).join(', ');
  return known.length > mostListed ? `${head}, …` : head;
}

/** A fix for a word that is not among the known ones: the nearest, or else all of them. */
export function suggest(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return near === null ? `use one of: ${listed(known)}` : `did you mean "${near}"?`;
}

/** How the demo talks: numbered steps, commands, tables, and claims that hold or do not. */

export class Story {
  readonly #began = performance.now();
  #steps = 0;
  #held = 0;
  #failed = 0;

  step(title: string): void {
    const seconds = ((performance.now() - this.#began) / 1000).toFixed(1).padStart(5);
    console.log(`\n[${seconds} s] ${++this.#steps}. ${title}`);
  }

  say(text: string): void {
    console.log(`          ${text}`);
  }

  command(text: string): void {
    console.log(`          $ ${text}`);
  }

  table(head: readonly string[], rows: readonly (readonly string[])[]): void {
    const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
    for (const row of [head, ...rows]) this.say(row.map((cell, i) => cell.padStart(widths[i] ?? 0)).join('  '));
  }

  claim(text: string, holds: boolean): void {
    if (holds) this.#held++;
    else this.#failed++;
    console.log(`     ${holds ? 'holds' : 'FAILS'}  ${text}`);
  }

  /** The story could not be told to its end. */
  broken(reason: unknown): void {
    this.#failed++;
    console.error('\nThe demo broke off:', reason);
  }

  /** Prints the sum and returns the exit code. */
  end(): number {
    const seconds = ((performance.now() - this.#began) / 1000).toFixed(0);
    console.log(`\n${this.#held} claims hold, ${this.#failed} fail; ${seconds} s. The lab is removed.`);
    if (this.#failed === 0) console.log('To keep a lab and play with it: npx pilotfish lab up');
    return this.#failed === 0 ? 0 : 1;
  }
}

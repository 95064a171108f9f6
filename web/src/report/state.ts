/** What all views of a report share: which record, what is selected, which step. All of it in the URL. */
import { textParam, wholeParam } from "../core/state";
import { announce } from "../core/announce";

/** Which of several records is looked at. */
export const recordIndex = wholeParam("record", 0, 0, 999);

/** A layer (index into Flow.layers or Plan.layers), a node (graph.nodes), a group (layout.groups), a fork (Flow.forks) or
 * a block (Plan.blocks). */
export interface Selection {
  readonly what: "layer" | "node" | "group" | "fork" | "block";
  readonly index: number;
}

const LETTERS = { l: "layer", n: "node", g: "group", f: "fork", b: "block" } as const;
const at = textParam("at");

/** What is selected now; null: nothing. Reading it subscribes. */
export function selection(): Selection | null {
  const what = LETTERS[at.value[0] as keyof typeof LETTERS];
  const index = Number(at.value.slice(1));
  return what && Number.isInteger(index) && index >= 0 && at.value.length > 1 ? { what, index } : null;
}

/** Select; `name` is what is said of it to those who listen. */
export function select(chosen: Selection | null, name = ""): void {
  at.set(chosen ? `${chosen.what[0]}${chosen.index}` : "");
  if (chosen && name) announce(name);
}

/** A view of its own: a frame with a heading, and buttons to save its drawing. */
import type { ComponentChildren } from "preact";
import { SaveTools } from "./SaveTools";

interface Props {
  /** The anchor, and the name of a saved file. */
  readonly id: string;
  readonly title: string;
  readonly children: ComponentChildren;
  /** Whether an svg in it can be saved. */
  readonly drawn?: boolean;
  /** A class of its own. */
  readonly look?: string;
}

/** A section with an id, `{id}-title` as its heading's. */
export function Panel({ id, title, children, drawn = false, look = "" }: Props) {
  return (
    <section class={`panel ${look}`.trim()} aria-labelledby={`${id}-title`} id={id}>
      <h2 id={`${id}-title`}>{title}</h2>
      {children}
      {drawn && <SaveTools of={id} />}
    </section>
  );
}

/** The size of a drawing that grows with the type around it. */

/** 16 units to a rem, as `useWidth` counts them. */
export function rems(width: number, height: number): { width: string; height: string } {
  return { width: `${width / 16}rem`, height: `${height / 16}rem` };
}

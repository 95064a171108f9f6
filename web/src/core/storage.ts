/** What the browser remembers; in a sandboxed frame it remembers nothing, and that is fine. */

const PREFIX = "gradpath.";

export function remembered(key: string): string | null {
  try {
    return localStorage.getItem(PREFIX + key);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // a sandboxed frame, or storage is full: the URL still has it
  }
}

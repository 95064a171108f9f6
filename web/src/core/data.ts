/** What Python put into the page: JSON in script elements, packed (gzip, base64) where it is large. */

/** The content of `<script type="application/json" id=…>`; null where there is none. */
export async function pageData<T>(id: string): Promise<T | null> {
  const element = document.getElementById(id);
  const text = element?.textContent;
  if (!element || !text) return null;
  return JSON.parse(element.dataset["packed"] === "gzip" ? await unpacked(text) : text) as T;
}

async function unpacked(base64: string): Promise<string> {
  const bytes = Uint8Array.from(atob(base64.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

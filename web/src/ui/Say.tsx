/** Text with light markup: **strong**, `code`, [words](https://…). Nothing else is read, so nothing else can be said. */

const MARKS = /\*\*(.+?)\*\*|`(.+?)`|\[(.+?)\]\((https:\/\/[^)\s]+|#[\w.-]+)\)/g;

export function Say({ text }: { text: string }) {
  const parts = [];
  let from = 0;
  for (const mark of text.matchAll(MARKS)) {
    const [whole, strong, code, words, address] = mark;
    parts.push(text.slice(from, mark.index));
    if (strong !== undefined) parts.push(<strong>{strong}</strong>);
    else if (code !== undefined) parts.push(<code>{code}</code>);
    else parts.push(<a href={address ?? ""}>{words}</a>);
    from = mark.index + whole.length;
  }
  return (
    <>
      {parts}
      {text.slice(from)}
    </>
  );
}

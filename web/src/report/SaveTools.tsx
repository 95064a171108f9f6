/** Two buttons: a view's drawing as SVG and as PNG. */
import { texts } from "../core/i18n";
import { savePng, saveSvg } from "../core/save";

const t = texts({ en: { save: "Save {name}" }, zh: { save: "保存 {name}" } });

/** `of`: id of the element whose first drawing it is, and the file's name. */
export function SaveTools({ of }: { of: string }) {
  const drawing = () => document.getElementById(of)?.querySelector<SVGSVGElement>("svg[role=img]") ?? null;
  const svg = () => {
    const found = drawing();
    if (found) saveSvg(found, of);
  };
  const png = () => {
    const found = drawing();
    if (found) void savePng(found, of);
  };
  return (
    <div class="tools">
      <button type="button" onClick={svg}>{t("save", { name: "SVG" })}</button>
      <button type="button" onClick={png}>{t("save", { name: "PNG" })}</button>
    </div>
  );
}

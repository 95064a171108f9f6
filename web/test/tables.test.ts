import assert from "node:assert/strict";
import { test } from "node:test";
import "../src/explain/Page";
import "../src/report/Page";
import { TABLES } from "../src/core/i18n";

const slots = (text: string): string[] => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();
const marks = (text: string): number => (text.match(/\*\*/g) ?? []).length;
const CHINESE = /[\u4e00-\u9fff]/;

test("every dictionary has the same keys and slots in both languages, and as many blanks and marks", () => {
  assert.ok(TABLES.length > 20, `${TABLES.length} tables`);
  for (const { en, zh } of TABLES) {
    assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
    for (const [key, english] of Object.entries(en)) {
      const chinese = zh[key] ?? "";
      assert.deepEqual(slots(chinese), slots(english), `${key}: ${english}`);
      assert.equal(marks(chinese) % 2, 0, `${key}: a mark is not closed: ${chinese}`);
      assert.equal(marks(english) % 2, 0, `${key}: a mark is not closed: ${english}`);
      assert.equal(chinese.split("____").length, english.split("____").length, `${key}: blanks of ${english}`);
    }
  }
});

test("what has a sentence in English has Chinese characters in Chinese", () => {
  for (const { en, zh } of TABLES) {
    for (const [key, english] of Object.entries(en)) {
      const words = english.replace(/\{\w+\}/g, "").match(/\b[a-z]{3,}\b/g) ?? [];
      if (words.length > 3) assert.ok(CHINESE.test(zh[key] ?? ""), `${key}: ${zh[key]}`);
    }
  }
});

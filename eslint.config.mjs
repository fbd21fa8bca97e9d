// The rules for the page's script: it runs in a browser, as it is written, with nothing imported.
import js from "@eslint/js";

const globals = ["document", "console"];

export default [
  js.configs.recommended,
  {
    files: ["catwise/report/*.js"],
    languageOptions: {
      sourceType: "script",
      globals: Object.fromEntries(globals.map((name) => [name, "readonly"])),
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "consistent-return": "error",
      eqeqeq: "error",
      "max-lines-per-function": ["error", { max: 50 }],
      "no-console": "error",
      "no-implicit-globals": "off", // one script, one page
      "no-shadow": "error",
      "no-var": "error",
      "prefer-const": "error",
      strict: ["error", "global"],
    },
  },
];

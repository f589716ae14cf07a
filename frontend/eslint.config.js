import { defineConfig } from "eslint/config";
import reactHooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

export default defineConfig(
  { ignores: ["dist", "node_modules", "src/api/schema.d.ts", "test-results", "playwright-report"] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { project: ["tsconfig.json", "tsconfig.node.json"] },
    },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "no-console": "error",
      eqeqeq: "error",
    },
  },
  {
    files: ["src/**/*.{ts,tsx}"],
    ...reactHooks.configs.flat["recommended-latest"],
  },
  // Plain JavaScript carries no types that could be checked.
  { files: ["scripts/**/*.mjs"], ...tseslint.configs.disableTypeChecked },
  {
    files: ["e2e/**/*.ts", "e2e-access/**/*.ts", "e2e-night/**/*.ts"],
    rules: {
      "no-restricted-syntax": [
        "error",
        {
          selector: "CallExpression[callee.property.name='waitForTimeout']",
          message: "A spec waits for what it wants to see, never for a time.",
        },
        {
          selector: "CallExpression[callee.name='setTimeout']",
          message: "A spec waits for what it wants to see, never for a time.",
        },
        {
          selector: "IfStatement CallExpression[callee.property.name='isVisible']",
          message: "A spec knows what must be visible; it does not look whether it is.",
        },
      ],
    },
  },
);

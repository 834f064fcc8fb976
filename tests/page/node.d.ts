// The parts of Node.js that the tests use. The page itself must not see any of it, so the types of all
// of Node.js stay out.

declare module "node:test" {
  export function test(name: string, run: () => void | Promise<void>): void;
  export function beforeEach(run: () => void): void;
  export function afterEach(run: () => void): void;
  export const mock: {
    timers: {
      enable(options: { apis: ("setTimeout" | "Date")[]; now?: number }): void;
      tick(milliseconds: number): void;
      reset(): void;
    };
    method<T extends object>(object: T, name: keyof T, replacement: (...args: never[]) => unknown): void;
    restoreAll(): void;
  };
}

declare module "node:assert/strict" {
  export function ok(value: unknown, message?: string): asserts value;
  export function equal<T>(actual: T, expected: T, message?: string): void;
  export function deepEqual<T>(actual: T, expected: T, message?: string): void;
  export function rejects(promise: Promise<unknown>, expected: object): Promise<void>;
}

declare module "node:timers/promises" {
  export function setImmediate(): Promise<void>;
}

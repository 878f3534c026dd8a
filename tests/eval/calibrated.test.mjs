// A calibration worked out by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expected } from './calibrated.mjs';

const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`);
const key = { model: 'm', precision: 'fast', span: 'answer', features: 2, thinking: false };
const made = (map, more = {}) => ({ ...key, ...more, bias: 1, weights: { a: 2, b: -4 }, map });
const of = (map, a, b) => expected([made(map)], { key, features: { a, b } });

test('the maps, by hand', () => {
  near(of({ kind: 'none' }, 0.5, 0.5), 0.5); // 1 + 1 - 2
  near(of({ kind: 'none' }, 0, 0), 1 / (1 + Math.exp(-1)));
  near(of({ kind: 'platt', a: 2, b: Math.log(3) }, 0.5, 0.5), 0.75);
  const lines = { kind: 'isotonic', x: [0.2, 0.4, 0.6], y: [0.1, 0.3, 0.9] };
  near(of(lines, 0.5, 0.5), 0.6);
  near(of(lines, 10, 0), 0.9);
  near(of(lines, 0, 10), 0.1);
});

test('another key is another calibration', () => {
  const others = [{ precision: 'exact' }, { span: 'window' }, { model: 'n' }, { features: 1 }];
  const list = [...others, { thinking: true }].map((more) => made({ kind: 'none' }, more));
  const local = { key, features: { a: 0.5, b: 0.5 } };
  assert.equal(expected(list, local), null);
  near(expected([...list, made({ kind: 'platt', a: 0, b: 0 })], local), 0.5);
});

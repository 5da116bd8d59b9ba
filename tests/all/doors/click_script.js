// Runs the click script in node, with as much of a browser around it as it asks for.
// Usage: node click_script.js PATH_OF_THE_SCRIPT
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const vm = require('node:vm');
const source = fs.readFileSync(process.argv[2], 'utf8');

function input(attributes) {
  return {
    type: attributes.type || 'text', name: attributes.name || '', value: attributes.value || '',
    hasAttribute: (name) => name in attributes,
  };
}

// A page load. `cookies` is the visitor's jar and outlives it.
function visit(url, { cookies = {}, settings = {}, inputs = [], readyState = 'loading', blocked = false } = {}) {
  const listeners = {};
  const written = [];
  const document = {
    readyState,
    currentScript: { getAttribute: (name) => settings[name] ?? null },
    addEventListener: (name, listener) => { (listeners[name] ||= []).push(listener); },
    querySelectorAll: (selector) => { assert.strictEqual(selector, 'input'); return inputs; },
    get cookie() { return Object.entries(cookies).map(([name, value]) => `${name}=${value}`).join('; '); },
    set cookie(text) {
      written.push(text);
      const [name, value] = text.split(';')[0].split('=');
      if (!blocked) cookies[name] = value;
    },
  };
  const window = { location: new URL(url) };
  vm.runInNewContext(source, { window, document, decodeURIComponent, encodeURIComponent, Number, Math });
  const fire = (name) => (listeners[name] || []).forEach((listener) => listener({}));
  return { ricochet: window.ricochet, written, fire, cookies, inputs };
}

// The landing page: the cookie is written as it should be.
let page = visit('https://shop.example/?utm_source=x&click_id=01%2Bab%20c&z=1');
assert.deepStrictEqual(page.written,
  ['ricochet_click_id=01%2Bab%20c; Max-Age=2592000; Path=/; SameSite=Lax; Secure']);
assert.strictEqual(page.ricochet.clickId(), '01+ab c');

// A later page has no parameter and still knows; nothing is written again.
const later = visit('https://shop.example/checkout', { cookies: page.cookies });
assert.strictEqual(later.ricochet.clickId(), '01+ab c');
assert.deepStrictEqual(later.written, []);

// A new click replaces the old one; an empty, absurd or broken one does not.
assert.strictEqual(visit('https://shop.example/?click_id=new', { cookies: page.cookies }).ricochet.clickId(), 'new');
for (const query of ['click_id=', 'click_id=%20', 'click_id=' + 'x'.repeat(256), 'click_id=%E0%A4%A', 'xclick_id=1', 'click_id']) {
  const other = visit('https://shop.example/?' + query, { cookies: { ricochet_click_id: 'kept' } });
  assert.strictEqual(other.ricochet.clickId(), 'kept', query);
  assert.deepStrictEqual(other.written, [], query);
}

// Settings of the script's element; plain http gets no Secure.
page = visit('http://shop.example/?cid=7;x', {
  settings: { 'data-parameter': 'cid', 'data-days': '7', 'data-domain': 'shop.example' },
});
assert.deepStrictEqual(page.written,
  ['ricochet_click_id=7%3Bx; Max-Age=604800; Path=/; SameSite=Lax; Domain=shop.example']);

// Forms: marked inputs always, hidden ones of the parameter's name where they are empty.
const inputs = [
  input({ 'data-ricochet-click-id': '', value: 'stale' }),
  input({ type: 'hidden', name: 'click_id' }),
  input({ type: 'hidden', name: 'click_id', value: 'theirs' }),
  input({ type: 'text', name: 'click_id' }),
  input({ type: 'hidden', name: 'email' }),
];
const values = () => inputs.map((one) => one.value);
page = visit('https://shop.example/?click_id=c1', { inputs });
assert.deepStrictEqual(values(), ['stale', '', 'theirs', '', ''], 'nothing is filled before the page is read');
page.fire('DOMContentLoaded');
assert.deepStrictEqual(values(), ['c1', 'c1', 'theirs', '', '']);
inputs.push(input({ 'data-ricochet-click-id': '' }));
page.fire('submit');
assert.strictEqual(inputs[5].value, 'c1', 'a form made later is filled when it is sent');

// Loaded late, it fills at once; without cookies the page itself still knows.
const one = [input({ 'data-ricochet-click-id': '' })];
page = visit('https://shop.example/?click_id=c2', { inputs: one, readyState: 'complete', blocked: true });
assert.strictEqual(one[0].value, 'c2');
assert.strictEqual(page.ricochet.clickId(), 'c2');

// A visitor who never clicked: nothing is written, nothing is filled.
const none = [input({ 'data-ricochet-click-id': '', value: '' })];
page = visit('https://shop.example/', { inputs: none, readyState: 'complete' });
assert.deepStrictEqual([page.ricochet.clickId(), none[0].value, page.written.length], ['', '', 0]);

console.log('all good');

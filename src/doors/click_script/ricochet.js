// Keeps the click id of a visit for the day it is needed: when the visitor buys.
// <script src="https://HOST/ricochet.js" data-parameter="click_id" data-days="30" async></script>
(function (window, document) {
  'use strict';
  var script = document.currentScript;
  function setting(name, otherwise) {
    return (script && script.getAttribute('data-' + name)) || otherwise;
  }
  var COOKIE = 'ricochet_click_id';
  var parameter = setting('parameter', 'click_id');
  var days = Number(setting('days', '30')) || 30;
  var domain = setting('domain', '');
  var current = '';

  function decoded(text) {
    try {
      return decodeURIComponent(text.replace(/\+/g, ' '));
    } catch (error) {
      return '';
    }
  }

  function ofUrl() {
    var pairs = window.location.search.slice(1).split('&');
    for (var i = 0; i < pairs.length; i++) {
      var at = pairs[i].indexOf('=');
      if (at > 0 && decoded(pairs[i].slice(0, at)) === parameter) {
        var value = decoded(pairs[i].slice(at + 1)).trim();
        if (value && value.length <= 255) return value;
      }
    }
    return '';
  }

  function ofCookie() {
    var cookies = document.cookie.split(';');
    for (var i = 0; i < cookies.length; i++) {
      var cookie = cookies[i].trim();
      if (cookie.indexOf(COOKIE + '=') === 0) return decoded(cookie.slice(COOKIE.length + 1));
    }
    return '';
  }

  function keep(clickId) {
    document.cookie = COOKIE + '=' + encodeURIComponent(clickId) +
      '; Max-Age=' + Math.round(days * 86400) + '; Path=/; SameSite=Lax' +
      (domain ? '; Domain=' + domain : '') +
      (window.location.protocol === 'https:' ? '; Secure' : '');
  }

  // A page without cookies still knows the click it began with.
  function clickId() {
    return ofCookie() || current;
  }

  function fill() {
    var id = clickId();
    if (!id) return;
    var inputs = document.querySelectorAll('input');
    for (var i = 0; i < inputs.length; i++) {
      var input = inputs[i];
      if (input.hasAttribute('data-ricochet-click-id') ||
          (input.type === 'hidden' && input.name === parameter && !input.value)) {
        input.value = id;
      }
    }
  }

  current = ofUrl();
  if (current) keep(current);
  window.ricochet = { clickId: clickId, fill: fill };
  if (document.readyState === 'loading') {
    document.addEventListener('DOMContentLoaded', fill);
  } else {
    fill();
  }
  // Forms that are made later are filled when they are sent.
  document.addEventListener('submit', fill, true);
})(window, document);

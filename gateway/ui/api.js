// api.js -- the API as this page uses it, and the only place of the secret.
//
// The secret is a variable of this module: never in storage, cookies, the
// address or the document. forget() is all there is to signing out.

let secret = '';

export class ApiError extends Error {
  constructor(status, error, retryAfter) {
    super(error.message || `the server answered ${status}`);
    this.status = status;
    this.code = error.code || '';
    this.param = error.param || '';
    this.retryAfter = retryAfter;
  }

  // The server has no such call, or not on this listener.
  get isAbsent() {
    return this.code === 'unknown_route' || this.status === 405 ||
      this.status === 501;
  }
}

export const remember = (text) => { secret = text; };
export const forget = () => { secret = ''; };
export const isSignedIn = () => secret !== '';

async function refusal(reply) {
  let error = {};
  try {
    error = (await reply.json()).error || {};
  } catch {
    // Not from filemux: a proxy before it.
  }
  return new ApiError(reply.status, error, reply.headers.get('Retry-After'));
}

async function ask(method, path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, {
      method,
      credentials: 'omit',
      cache: 'no-store',
      referrerPolicy: 'no-referrer',
      ...options,
      headers: {...options.headers, Authorization: `Bearer ${secret}`},
    });
  } catch (e) {
    if (e.name === 'AbortError')
      throw e;
    throw new ApiError(0, {message: 'the server cannot be reached'});
  }
  if (reply.status === 401)
    dispatchEvent(new Event('refused'));
  if (!reply.ok)
    throw await refusal(reply);
  return reply;
}

// Members without a value are left out.
export function query(members) {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(members))
    if (value !== undefined && value !== null && value !== '')
      out.set(name, value);
  return out.size ? `?${out}` : '';
}

export const get = async (path, members = {}) =>
  (await ask('GET', path + query(members))).json();
export const text = async (path) => (await ask('GET', path)).text();
export const blob = async (path) => (await ask('GET', path)).blob();
export const remove = async (path) => (await ask('DELETE', path)).json();
export const sendForm = async (path, form) =>
  (await ask('POST', path, {body: form})).json();
export const post = async (path, body) =>
  (await ask('POST', path, {
    body: JSON.stringify(body),
    headers: {'Content-Type': 'application/json'},
  })).json();

// An OpenID provider on loopback for the browser tests: oidc-provider with a log-in that asks for a name only.
//   node scripts/provider.mjs PORT PAGE   (PAGE is the page's address)
// `clinician@radiology` signs in as a clinician of radiology; without `@`, of no department.
import { createServer } from "node:http";
import process from "node:process";
import { text } from "node:stream/consumers";

import Provider from "oidc-provider";

const [port, page] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "cxr",
      client_secret: "only-in-tests",
      redirect_uris: [`${page}/api/v1/sign-in/callback`],
      post_logout_redirect_uris: [`${page}/`],
    },
  ],
  // Given as user info alone, as many providers do.
  claims: { openid: ["sub", "groups", "department"], profile: ["name"] },
  cookies: { keys: ["only-in-tests"] },
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: {
      logoutSource: (ctx, form) => {
        ctx.body = htmlOf(`${form}<button form="op.logoutForm" name="logout" value="yes">Leave</button>`);
      },
    },
  },
  interactions: { url: (_ctx, interaction) => `/log-in/${interaction.uid}` },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => claimsOf(id) }),
  // Whoever has logged in has agreed.
  loadExistingGrant: async (ctx) => {
    const { Client: client, Session: session } = ctx.oidc.entities;
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope("openid profile");
    await grant.save();
    return grant;
  },
});

function claimsOf(id) {
  const [role, department] = id.split("@");
  return { sub: id, name: `Test ${role}`, groups: [role], department };
}

function htmlOf(body) {
  return `<!doctype html><html lang="en"><title>Provider</title><link rel="icon" href="data:,"><body>${body}</body></html>`;
}

const LOG_IN = htmlOf(
  `<form method="post"><label>Name <input name="name" required></label><button>Log in</button></form>`,
);

const callback = provider.callback();
createServer(async (request, response) => {
  if (!request.url.startsWith("/log-in/")) {
    callback(request, response);
  } else if (request.method === "POST") {
    const accountId = new URLSearchParams(await text(request)).get("name");
    await provider.interactionFinished(request, response, { login: { accountId } });
  } else {
    response.setHeader("Content-Type", "text/html").end(LOG_IN);
  }
}).listen(Number(port), "127.0.0.1");

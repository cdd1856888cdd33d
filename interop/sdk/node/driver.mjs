// Makes the calls that a test asks for, one a line of JSON on stdin, and answers each with a line
// on stdout. See client_test.go.
import { createInterface } from "node:readline";
import ModernTreasury from "modern-treasury";
import Stripe from "stripe";

// One client for each SDK and address. Both try three times.
const clients = new Map();

function client(sdk, url) {
  const name = sdk + " " + url;
  if (!clients.has(name)) {
    const at = new URL(url);
    clients.set(
      name,
      sdk === "stripe"
        ? new Stripe("sk_test_123", { protocol: "http", host: at.hostname, port: at.port, maxNetworkRetries: 2, telemetry: false })
        : new ModernTreasury({ baseURL: url, apiKey: "key", organizationID: "org", maxRetries: 2, logLevel: "off" }),
    );
  }
  return clients.get(name);
}

// An empty key leaves it to the SDK to make one.
async function call({ sdk, url, key, amount }) {
  const options = key ? { idempotencyKey: key } : {};
  if (sdk === "stripe") {
    // stripe-mock refuses parameters that it does not know, and no amounts.
    const wrong = amount === 0 ? { nonsense: 1 } : {};
    const charge = await client(sdk, url).charges.create({ amount, currency: "usd", source: "tok_visa", ...wrong }, options);
    return { id: charge.id };
  }
  const order = await client(sdk, url).paymentOrders.create(
    { amount, type: "ach", direction: "credit", originating_account_id: "account" },
    options,
  );
  return { id: order.id };
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  call(asked)
    .then((made) => ({ id: made.id ?? "no id" }))
    .catch((err) => ({
      failed: err.constructor.name,
      status: err.statusCode ?? err.status ?? 0,
      code: err.code ?? err.error?.code ?? "",
      said: String(err.message),
    }))
    .then((answer) => process.stdout.write(JSON.stringify({ ...answer, number: asked.number }) + "\n"));
}

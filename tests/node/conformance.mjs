// Shopify's own libraries, unchanged, against the sandbox: see tests/sandbox/test_shopify_node.py.
// In: one JSON object on standard input. Out: one JSON object on standard output.

import {readFileSync} from 'node:fs';

import {createAdminApiClient} from '@shopify/admin-api-client';
import '@shopify/shopify-api/adapters/node';
import {ApiVersion, shopifyApi} from '@shopify/shopify-api';
import {createSHA256HMAC, HashFormat} from '@shopify/shopify-api/runtime';

const given = JSON.parse(readFileSync(0, 'utf8'));

// The client asks its shop over HTTPS; its own hook for another fetch leads it to this machine.
const origin = `https://${given.shop}`;
const client = createAdminApiClient({
  storeDomain: given.shop,
  apiVersion: '2026-10',
  accessToken: given.token,
  customFetchApi: (url, init) => fetch(url.replace(origin, given.url), init),
});

const create = `mutation Create($input: GiftCardCreateInput!) {
  giftCardCreate(input: $input) {
    giftCard { id balance { amount currencyCode } }
    giftCardCode
    userErrors { field code message }
  }
}`;
const read = `query Read($id: ID!) {
  giftCard(id: $id) {
    id enabled lastCharacters
    balance { amount }
    transactions(first: 5) { nodes { __typename amount { amount } note } }
  }
}`;
const credit = `mutation Credit($id: ID!, $input: GiftCardCreditInput!) {
  giftCardCredit(id: $id, creditInput: $input) {
    giftCardCreditTransaction { amount { amount } note }
    userErrors { field code message }
  }
}`;

async function useClient() {
  const input = {code: 'nodetest2026', initialAmount: {amount: '25.50', currencyCode: 'NOK'}};
  const made = await client.request(create, {variables: {input}});
  const id = made.data.giftCardCreate.giftCard.id;
  const again = await client.request(create, {variables: {input}});
  const money = {creditAmount: {amount: '4.50', currencyCode: 'NOK'}, note: 'from node'};
  const credited = await client.request(credit, {variables: {id, input: money}});
  const shown = await client.request(read, {variables: {id}});
  const wrong = await client.request('{ giftCard(id: "gid://shopify/GiftCard/1") { nosuchfield } }');
  return {
    made: made.data,
    cost: made.extensions.cost,
    again: again.data,
    credited: credited.data,
    shown: shown.data,
    wrong: wrong.errors.graphQLErrors.map((error) => error.extensions.code),
  };
}

function headersOf(delivery) {
  return Object.fromEntries(Object.entries(delivery.headers));
}

async function useWebhooks() {
  const shopify = shopifyApi({
    apiKey: 'key',
    apiSecretKey: given.secret,
    apiVersion: ApiVersion.July26 ?? Object.values(ApiVersion)[0],
    hostName: 'giftsync.example.com',
    isEmbeddedApp: false,
    logger: {log: () => undefined},
  });
  const validated = [];
  for (const delivery of given.deliveries) {
    const rawRequest = {method: 'POST', url: '/webhooks/shopify', headers: headersOf(delivery)};
    const found = await shopify.webhooks.validate({rawBody: delivery.body, rawRequest});
    validated.push({valid: found.valid, topic: found.topic, domain: found.domain});
  }
  const forged = {...given.deliveries[0], body: `${given.deliveries[0].body} `};
  const refused = await shopify.webhooks.validate({
    rawBody: forged.body,
    rawRequest: {method: 'POST', url: '/', headers: headersOf(forged)},
  });
  const signed = await Promise.all(
    given.bodies.map((body) => createSHA256HMAC(given.secret, body, HashFormat.Base64)),
  );
  return {validated, refused: refused.valid, signed};
}

process.stdout.write(JSON.stringify({client: await useClient(), webhooks: await useWebhooks()}));

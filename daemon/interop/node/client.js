// What programs do through node-zookeeper-client, against the server at argv[2].
const zookeeper = require('node-zookeeper-client');
const assert = require('assert');

const client = zookeeper.createClient(process.argv[2], { sessionTimeout: 20000 });
const call = (method, ...args) => new Promise((resolve, reject) =>
  client[method](...args, (error, ...results) => error ? reject(error) : resolve(results)));
const fails = async (code, promise) => {
  try {
    await promise;
  } catch (e) {
    assert.strictEqual(e.getCode(), zookeeper.Exception[code]);
    return;
  }
  assert.fail(`no ${code}`);
};
const event = () => {
  let see;
  const seen = new Promise((resolve) => { see = resolve; });
  return [(e) => see(e), seen];
};

client.once('connected', async () => {
  try {
    const [path] = await call('create', '/n', Buffer.from('one'));
    assert.strictEqual(path, '/n');
    await fails('NODE_EXISTS', call('create', '/n'));
    const [ephemeral] = await call('create', '/n/e-', null, zookeeper.CreateMode.EPHEMERAL_SEQUENTIAL);
    assert.strictEqual(ephemeral, '/n/e-0000000000');

    let [watcher, seen] = event();
    const [data, stat] = await call('getData', '/n', watcher);
    assert.strictEqual(data.toString(), 'one');
    assert.strictEqual(stat.version, 0);
    await call('setData', '/n', Buffer.from('two'), 0);
    assert.strictEqual((await seen).getName(), 'NODE_DATA_CHANGED');
    await fails('BAD_VERSION', call('setData', '/n', Buffer.from('three'), 0));

    [watcher, seen] = event();
    const [children] = await call('getChildren', '/n', watcher);
    assert.deepStrictEqual(children, ['e-0000000000']);
    await call('remove', ephemeral);
    assert.strictEqual((await seen).getName(), 'NODE_CHILDREN_CHANGED');

    [watcher, seen] = event();
    assert.strictEqual((await call('exists', '/t', watcher))[0], null);
    const results = await new Promise((resolve, reject) => client.transaction().create('/t', Buffer.from('x'))
      .setData('/t', Buffer.from('y')).check('/n', 1).commit((e, r) => e ? reject(e) : resolve(r)));
    assert.strictEqual(results.length, 3);
    assert.strictEqual((await seen).getName(), 'NODE_CREATED');

    client.addAuthInfo('digest', Buffer.from('bob:secret'));
    await call('setACL', '/t', zookeeper.ACL.CREATOR_ALL_ACL, -1);
    const [acls] = await call('getACL', '/t');
    assert.strictEqual(acls[0].id.scheme, 'digest');
    await call('mkdirp', '/deep/down/here');
    await fails('NOT_EMPTY', call('remove', '/deep'));
    const big = Buffer.alloc(900000, 'z');
    await call('create', '/big', big);
    assert.ok((await call('getData', '/big'))[0].equals(big));
    console.log('all well');
    client.close();
  } catch (e) {
    console.log('NOT SO:', e);
    process.exit(1);
  }
});
client.connect();

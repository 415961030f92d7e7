// A mqtt.js client that does what it is told.
//
// Each line on standard input is a command in JSON, answered by one line on
// standard output; what is received is written as a line in between. The first
// argument is a JSON object: host, port, id, version, websocket, ca.
'use strict'

const fs = require('fs')
const readline = require('readline')
const mqtt = require('mqtt')

const settings = JSON.parse(process.argv[2])
let client

const say = (thing) => process.stdout.write(JSON.stringify(thing) + '\n')

function options (command) {
  const o = {
    clientId: settings.id,
    clean: command.clean,
    protocolVersion: settings.version,
    protocolId: settings.version === 3 ? 'MQIsdp' : 'MQTT',
    reconnectPeriod: 0,
    connectTimeout: 30000
  }
  if (settings.version === 5) {
    o.properties = { sessionExpiryInterval: command.clean ? 0 : 3600 }
  }
  if (command.will) o.will = command.will
  if (settings.ca) o.ca = fs.readFileSync(settings.ca)
  return o
}

function url () {
  const scheme = settings.websocket ? (settings.ca ? 'wss' : 'ws') : (settings.ca ? 'mqtts' : 'mqtt')
  return `${scheme}://${settings.host}:${settings.port}${settings.websocket ? '/mqtt' : ''}`
}

const commands = {
  connect (command) {
    return new Promise((resolve, reject) => {
      client = mqtt.connect(url(), options(command))
      client.on('message', (topic, payload, packet) => say({
        message: { topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain }
      }))
      client.once('error', reject)
      client.once('connect', (connack) => resolve({ present: !!connack.sessionPresent }))
    })
  },
  async subscribe (command) {
    const granted = await client.subscribeAsync(command.filter, { qos: command.qos })
    if (granted[0].qos !== command.qos) throw new Error(`granted ${granted[0].qos}`)
    return {}
  },
  async publish ({ message: m }) {
    await client.publishAsync(m.topic, m.payload, { qos: m.qos, retain: m.retain })
    return {}
  },
  async disconnect () {
    await client.endAsync()
    return {}
  }
}

async function main () {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line)
    let answer
    try {
      answer = await commands[command.do](command)
    } catch (e) { // the test shall say what went wrong
      answer = { error: String(e) }
    }
    say({ answer })
  }
  process.exit(0)
}

main()

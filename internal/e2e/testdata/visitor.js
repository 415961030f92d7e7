// mqtt.js clients that do what they are told.
//
// Each line on standard input is a command in JSON for the client that "id"
// names, answered by one line on standard output; what is received is written
// as a line in between. The command connect says where to: host, port, version,
// websocket, ca.
'use strict'

const fs = require('fs')
const readline = require('readline')
const mqtt = require('mqtt')

const clients = {}

const say = (thing) => process.stdout.write(JSON.stringify(thing) + '\n')

function options (command) {
  const o = {
    clientId: command.id,
    clean: command.clean,
    protocolVersion: command.version,
    protocolId: command.version === 3 ? 'MQIsdp' : 'MQTT',
    reconnectPeriod: 0,
    connectTimeout: 30000
  }
  if (command.version === 5) {
    o.properties = { sessionExpiryInterval: command.clean ? 0 : 3600 }
  }
  if (command.will) o.will = command.will
  if (command.ca) o.ca = fs.readFileSync(command.ca)
  return o
}

function url (command) {
  const scheme = command.websocket ? (command.ca ? 'wss' : 'ws') : (command.ca ? 'mqtts' : 'mqtt')
  return `${scheme}://${command.host}:${command.port}${command.websocket ? '/mqtt' : ''}`
}

const commands = {
  connect (command) {
    return new Promise((resolve, reject) => {
      const client = clients[command.id] = mqtt.connect(url(command), options(command))
      client.on('message', (topic, payload, packet) => say({
        id: command.id,
        message: { topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain }
      }))
      client.once('error', reject)
      client.once('connect', (connack) => resolve({ present: !!connack.sessionPresent }))
    })
  },
  async subscribe (command) {
    const granted = await clients[command.id].subscribeAsync(command.filter, { qos: command.qos })
    if (granted[0].qos !== command.qos) throw new Error(`granted ${granted[0].qos}`)
    return {}
  },
  async publish ({ id, message: m }) {
    await clients[id].publishAsync(m.topic, m.payload, { qos: m.qos, retain: m.retain })
    return {}
  },
  async disconnect ({ id }) {
    await clients[id].endAsync()
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

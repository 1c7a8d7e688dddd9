"""The connection to Discord: login, gateway, reconnection.

Commands and messages are in `cogs`.

run              everything that runs while opsbot is connected to Discord
login_loop       logs in with a new client after each failure and reports problems that need a person
client           the client of one login: events and their handlers
registration     registers the slash commands
connection       keeps the gateway connected through outages of any length
presence_events  presences and voice states of other bots, from gateway events
clock            measures clock skew against Discord
link             the state of the connection, as the rest of opsbot sees it
"""

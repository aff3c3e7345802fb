--- Lists of hosts: on the command line, in files, and as Slurm writes them.
-- @module epact.hosts

local core = require "epact.core"

local hosts = {}

local most = 65536 -- processes of one list: `n[1-999999999]` is a slip

local function add_expanded(list, names, word)
  local before, ranges, after = word:match "^([^%[]*)%[([^%]]*)%](.*)$"
  if not before then
    if word:find "[%[%]]" then core.fail("hosts: unbalanced brackets in %q", list) end
    if #names >= most then core.fail("hosts: more than %d in %q", most, list) end
    names[#names + 1] = word
    return
  end
  for range in ranges:gmatch "[^,]+" do
    local low, high = range:match "^(%d+)-(%d+)$"
    low, high = low or range:match "^%d+$", high or range:match "^%d+$"
    if not low or tonumber(low) > tonumber(high) then core.fail("hosts: %q is no range in %q", range, list) end
    for number = tonumber(low), tonumber(high) do
      add_expanded(list, names, before .. ("%0" .. #low .. "d"):format(number) .. after)
    end
  end
end

-- The words between the commas outside of brackets.
local function split(list)
  local words, depth, begin = {}, 0, 1
  for i = 1, #list + 1 do
    local byte = list:sub(i, i)
    if byte == "[" then depth = depth + 1 end
    if byte == "]" then depth = depth - 1 end
    if (byte == "," and depth == 0) or byte == "" then
      if i > begin then words[#words + 1] = list:sub(begin, i - 1) end
      begin = i + 1
    end
  end
  if depth ~= 0 then core.fail("hosts: unbalanced brackets in %q", list) end
  return words
end

--- Expands a list of names: `n[01-04,7],login` is n01, n02, n03, n04, n7, login.
-- @tparam string list
-- @treturn table
function hosts.expand(list)
  local names = {}
  for _, word in ipairs(split(list)) do add_expanded(list, names, word) end
  return names
end

-- A name is a word of ssh's command line: one that begins with a dash would be an option.
local function check_name(name, where)
  if not name:find "^[%w_][%w_.@-]*$" then core.fail("hosts: %s: %q is no host's name", where, name) end
  return name
end

-- Adds `word`, as `host`, `host:K` or `n[1-4]:K`, with K processes on each.
local function add_slots(places, word, slots, where)
  local name, count = word:match "^(.*):([^:%]]*)$"
  if name and slots then core.fail("hosts: %s: the slots are given twice", where) end
  slots = slots or count or "1"
  if not slots:find "^%d+$" or tonumber(slots) < 1 then
    core.fail("hosts: %s: slots must be an integer >= 1, got %q", where, slots)
  end
  for _, host in ipairs(hosts.expand(name or word)) do
    for _ = 1, tonumber(slots) do
      if #places >= most then core.fail("hosts: %s: more than %d processes", where, most) end
      places[#places + 1] = check_name(host, where)
    end
  end
end

-- `id address port`, as parameter servers of old had it: the ids are the ranks.
local function add_numbered(numbered, id, host, port, where)
  id, port = tonumber(id), tonumber(port)
  if numbered[id] then core.fail("hosts: %s: the id %d comes twice", where, id) end
  if port < 1 or port > 65535 then core.fail("hosts: %s: %d is no port", where, port) end
  numbered[id] = { host = check_name(host, where), port = port }
  numbered.count = (numbered.count or 0) + 1
end

local function add_line(places, line, where)
  local first, rest = line:match "^(%S+)%s*(.-)$"
  local slots
  for word in rest:gmatch "%S+" do
    local key, value = word:match "^([%w_-]+)=(.*)$"
    if key == "slots" then
      slots = value
    elseif key ~= "max_slots" and key ~= "max-slots" then -- those are for more than the slots: never started here
      core.fail("hosts: %s: %q is not understood (a line is a host, host:K, host slots=K, or id address port)", where,
        word)
    end
  end
  add_slots(places, first, slots, where)
end

--- Reads the text of a hosts file: a host a line, `host:K` or `host slots=K` for K processes, `n[01-04]` for several
-- hosts; or `id address port`, whose ids are the ranks. Empty lines, and what follows a `#`, are nothing.
-- @tparam string text
-- @tparam string name of the file, for messages
-- @treturn table the host of each process
-- @treturn ?number the port of the first, where the file says one
function hosts.parse(text, name)
  local places, numbered, number = {}, {}, 0
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    line = line:gsub("#.*", ""):match "^%s*(.-)%s*$"
    local where = ("%s, line %d"):format(name, number)
    local id, host, port = line:match "^(%d+)%s+(%S+)%s+(%d+)$"
    if id then
      add_numbered(numbered, id, host, port, where)
    elseif line ~= "" then
      add_line(places, line, where)
    end
  end
  if not numbered.count then
    if #places == 0 then core.fail("hosts: %s names no host", name) end
    return places
  end
  if #places > 0 then core.fail("hosts: %s has lines with an id and lines without", name) end
  for id = 0, numbered.count - 1 do
    if not numbered[id] then
      core.fail("hosts: %s has %d ids, but none is %d (they are the ranks, from 0)", name, numbered.count, id)
    end
    places[id + 1] = numbered[id].host
  end
  return places, numbered[0].port
end

--- Reads `--hosts`: the name of a file, or a list as `n[01-04],login:2`.
-- @tparam string given
-- @treturn table the host of each process
-- @treturn ?number the port of the first, where a file says one
function hosts.read(given)
  local file, reason = io.open(given)
  if file then
    local text
    text, reason = file:read "*a"
    file:close()
    if text then return hosts.parse(text, given) end
    core.fail("hosts: cannot read %s: %s", given, reason)
  end
  if given:find "/" or given:find "%.txt$" then core.fail("hosts: cannot read %s", reason) end
  local places = {}
  for _, word in ipairs(split(given)) do add_slots(places, word, nil, "--hosts") end
  if #places == 0 then core.fail("hosts: %q names no host", given) end
  return places
end

return hosts

--- Command lines of scripts: named values, flags, and help.
-- @module epact.command

local options = require "epact.options"

local command = {}

local function usage(spec)
  local lines = { ("usage: %s [options]%s"):format(spec.name or "luajit " .. (arg and arg[0] or "script.lua"),
    spec.rest and " " .. spec.rest or ""), "", spec.about, "" }
  local width = 0
  for _, o in ipairs(spec) do width = math.max(width, #o[1]) end
  for _, o in ipairs(spec) do
    local shown = o[3] ~= nil and o[3] ~= false and o[3] ~= "" and (" (%s)"):format(tostring(o[3])) or ""
    lines[#lines + 1] = ("  --%s%s  %s%s"):format(o[1], (" "):rep(width - #o[1]), o[4], shown)
  end
  lines[#lines + 1] = ("  --help%s  this text"):format((" "):rep(width - 4))
  return table.concat(lines, "\n")
end

--- Says in one line what is wrong with a command line, and exits with status 2.
-- @tparam table spec as for `command.read`
-- @tparam string message a format, with arguments
function command.complain(spec, message, ...)
  io.stderr:write(spec.name or (arg and arg[0] or "script"), ": ", message:format(...),
    " (--help lists the options)\n")
  os.exit(2)
end

local function convert(kind, text)
  if kind == "string" or type(kind) == "table" then return text end
  if kind == "staleness" and (text == "async" or text == "inf") then return math.huge end
  return tonumber(text)
end

--- Reads the command line of the running script. Errors are one line on stderr and exit status 2; `--help` prints
-- the options and exits with 0.
-- @tparam table spec `about = text` and a list of `{ name, kind, default, help }`; kind as in `epact.options`, or
-- "flag", or "list" (may be given several times). `name = text`: what the user calls the program, where that is no
-- script. `rest = text`: what may follow the options, from the first word that is none on; read into `rest`
-- @tparam[opt=arg] table words
-- @treturn table options by name (with `-` as `_`)
function command.read(spec, words)
  words = words or arg
  local function complain(...) command.complain(spec, ...) end
  local read, known = {}, { help = true }
  for _, o in ipairs(spec) do
    known[o[1]] = o
    local default = o[3]
    if o[2] == "list" then default = {} end
    read[o[1]:gsub("%-", "_")] = default
  end
  local i = 1
  while words[i] do
    local name, equals, text = words[i]:match "^%-%-([^=]+)(=?)(.*)$"
    if words[i] == "-h" then name = "help" end
    if not name and spec.rest then
      if words[i] == "--" then i = i + 1 end
      break
    end
    if not name then complain("unexpected argument %q", words[i]) end
    if name == "help" then
      print(usage(spec))
      os.exit(0)
    end
    local o = known[name]
    if not o then
      local near = options.nearest(name, known)
      complain("unknown option --%s%s", name, near and (", did you mean --%s?"):format(near) or "")
    end
    local field = name:gsub("%-", "_")
    if o[2] == "flag" then
      if equals ~= "" then complain("--%s takes no value", name) end
      read[field] = true
    else
      if equals == "" then
        i = i + 1
        text = words[i]
      end
      if not text or (equals == "" and text:find "^%-%-") then complain("--%s needs a value", name) end
      if o[2] == "list" then
        table.insert(read[field], text)
      else
        local ok, value = pcall(options.argument, "", name, o[2], convert(o[2], text))
        if not ok then complain("--%s must be %s, got %q", name, value:match "must be (.*), got" or "valid", text) end
        read[field] = value
      end
    end
    i = i + 1
  end
  if spec.rest then read.rest = { unpack(words, i) } end
  return read
end

--- Runs the body of a script: what it raises is one message on stderr, without a traceback of this package's frames,
-- and exit status 1.
-- @tparam function body
function command.main(body)
  local ok, message = xpcall(body, function(message)
    return type(message) == "string" and message or debug.traceback(tostring(message), 2)
  end)
  if ok then return end
  io.stderr:write((message:gsub("^[^\n]-: (epact%.run: )", "%1")), "\n")
  os.exit(1)
end

return command

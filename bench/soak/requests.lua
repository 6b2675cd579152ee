-- What wrk sends: a mixture, no two rounds the same. SOAK_SEED tells rounds apart, SOAK_STREAM asks for streamed answers.
local seed = os.getenv("SOAK_SEED")
local is_streamed = os.getenv("SOAK_STREAM") == "1"
local tail = is_streamed and '"}], "max_tokens": 16, "stream": true}' or '"}], "max_tokens": 1}'
local head = '{"model": "tiny", "messages": [{"role": "user", "content": "'
local json = { ["content-type"] = "application/json" }
local words = string.rep("an endpoint picker names the model server. ", 20)
local pages = string.rep(words, 45)
local number = 0

math.randomseed(tonumber(seed))

local function ask(content)
  return wrk.format("POST", "/v1/chat/completions", json, head .. content .. tail)
end

request = function()
  number = number + 1
  local unique = seed .. "." .. number .. " "
  local draw = math.random(100)
  if draw <= 10 then
    return wrk.format("GET", "/v1/models")
  elseif draw <= 13 then
    return ask(unique .. pages)
  elseif draw <= 15 then
    return ask("document " .. math.random(20) .. " " .. pages .. unique)
  elseif draw <= 45 then
    return ask("prefix " .. math.random(50) .. " " .. words .. words .. unique)
  end
  return ask(unique .. words)
end

done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'SOAK {"answered": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end

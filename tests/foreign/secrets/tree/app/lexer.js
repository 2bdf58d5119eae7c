const token = tokens[i]
const password = prompt("Password: ")
const API_KEY = process.env["API_KEY"]
const secret_name = "prod/db/password"
export const DEFAULT_TOKEN = "Zk3mV9Qx1r8Ty5Lw2Pn7Bd4Hs6Jc0Gf"
